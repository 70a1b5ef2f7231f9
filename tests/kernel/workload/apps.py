from django.apps import AppConfig


class WorkloadConfig(AppConfig):
    name = "tests.kernel.workload"
    label = "workload"

    def ready(self) -> None:
        from tests.kernel.workload import kinds

        kinds.register()
