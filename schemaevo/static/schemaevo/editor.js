/* The editors of schemas and extensions: rows are filled from data, checked by the server as one types, and sent as
   one text. Every value stays text here, so that no number is rounded; what is right or wrong, the server says. */
(() => {
  "use strict";
  const form = document.querySelector("[data-se-editor]");
  if (!form) return;

  const WAIT_MS = 400;
  const FIND_FROM = 8;
  const status = form.querySelector("[data-status]");
  const review = form.querySelector("[data-review]");
  const data = (id) => {
    const node = document.getElementById(id);
    return node ? JSON.parse(node.textContent) : {};
  };
  const shared = data("se-shared");
  const sections = new Map();
  const rowOf = new WeakMap();
  let problemId = 0;

  /* --- rows ------------------------------------------------------------------------------------------- */
  const template = (section, what) => document.getElementById(`se-${section}-${what}`).content.cloneNode(true);
  const controls = (scope) => scope.querySelectorAll("[data-part]");
  const control = (row, part) => row.node.querySelector(`[data-part="${CSS.escape(part)}"]`);

  function fill(scope, row) {
    for (const one of controls(scope)) {
      const value = row.values[one.dataset.part];
      if (one.type === "checkbox") one.checked = Boolean(value);
      else if (value !== undefined || one.tagName !== "SELECT") one.value = value ?? "";
      const globally = row.shared && row.shared[one.dataset.part];
      if (typeof globally === "string" && "placeholder" in one) one.placeholder = globally;
    }
  }

  /* What suits the type of the row is shown, and what is filled although it does not. */
  function adapt(row) {
    const values = row.values;
    const type = values.type || "";
    for (const node of row.node.querySelectorAll("[data-suits]")) {
      const part = node.querySelector("[data-part]").dataset.part;
      node.hidden = !(node.dataset.suits.split(" ").includes(type) || values[part]);
    }
    let fitting = 0;
    row.node.querySelectorAll("[data-slot]").forEach((node) => {
      const select = node.querySelector("select");
      fitting = 0;
      for (const option of select.options) {
        const suits = !option.value || option.dataset.target === type;
        option.hidden = option.disabled = !suits && !option.selected;
        if (suits && option.value) fitting += 1;
      }
      const isOwn = row.section !== "overrides" || values.own_converters;
      node.hidden = !values[select.dataset.part] && (Number(node.dataset.slot) > fitting || !isOwn);
    });
    const toggle = (name, hidden) => {
      const node = row.node.querySelector(`[data-for="${name}"]`);
      if (node) node.hidden = hidden;
    };
    toggle("tie_breaker", values.strategy !== "most_specific" && !values.tie_breaker);
    if (row.section === "overrides") {
      toggle("description", !values.own_description);
      toggle("own_converters", row.hasMore && fitting === 0 && !values.own_converters);
    }
    row.node.querySelector("[data-legend]").textContent = values.name || row.legend;
    summarise(row);
  }

  /* What a closed row holds beyond its first line. */
  function summarise(row) {
    const first = ["name", "type", "strategy", "required"];
    const said = Object.keys(row.values).filter((part) => !first.includes(part) && !part.startsWith("own_"));
    const words = said.map((part) => (part.startsWith("converter") ? row.values[part] : part.replace("_", " ")));
    row.node.querySelector("[data-summary]").textContent = words.join(", ");
  }

  /* The rest of a row is made when it is first looked at: hundreds of rows stay quick. */
  function complete(row) {
    if (row.hasMore) return;
    row.hasMore = true;
    const place = row.node.querySelector("[data-more]");
    place.append(template(row.section, "more"));
    fill(place, row);
    adapt(row);
  }

  function build(section, values) {
    const node = template(section.name, "row").querySelector("[data-row]");
    const row = { node, values: { ...values }, section: section.name, hasMore: false, wasOpened: false };
    row.legend = node.querySelector("[data-legend]").textContent;
    row.shared = section.name === "overrides" ? shared[values.name] : null;
    if (section.name === "overrides") {
      if (row.shared) row.values.type = row.shared.type;
      node.querySelector("[data-shown-name]").textContent = values.name;
      node.querySelector("[data-shared-type]").textContent = row.values.type || "–";
    } else if (!row.values.type) {
      row.values.type = "string";
    }
    rowOf.set(node, row);
    fill(node, row);
    const more = node.querySelector("details");
    more.open = false;
    more.addEventListener("toggle", () => more.open && complete(row));
    adapt(row);
    return row;
  }

  function add(section, values, { before = null } = {}) {
    const row = build(section, values);
    section.rows.push(row);
    section.list.insertBefore(row.node, before);
    return row;
  }

  function count(section) {
    const shown = form.querySelector(`[data-count="${section.name}"]`);
    if (shown) shown.textContent = section.rows.length;
    const find = form.querySelector("[data-find]");
    if (find && section.name === "fields" && section.rows.length >= FIND_FROM) find.hidden = false;
    for (const button of form.querySelectorAll("[data-override]")) {
      if (section.name !== "overrides") break;
      button.disabled = section.rows.some((row) => row.values.name === button.dataset.override);
    }
  }

  const serialised = () =>
    JSON.stringify(Object.fromEntries([...sections].map(([name, { rows }]) => [name, rows.map((row) => row.values)])));

  /* --- checking as one types -------------------------------------------------------------------------- */
  let timer = 0;
  let asked = null;
  let isDirty = false;
  let isLeaving = false;

  function schedule() {
    isDirty = true;
    clearTimeout(timer);
    // An answer to what stood here before would only confuse.
    asked?.abort();
    timer = setTimeout(check, WAIT_MS);
  }

  async function check() {
    clearTimeout(timer);
    asked?.abort();
    const mine = (asked = new AbortController());
    form.classList.add("se-checking");
    try {
      const answer = await fetch(form.dataset.check, {
        method: "POST",
        body: new FormData(form),
        headers: { Accept: "application/json" },
        credentials: "same-origin",
        signal: mine.signal,
      });
      const isJson = (answer.headers.get("Content-Type") || "").startsWith("application/json");
      if (!answer.ok || !isJson) {
        say(answer.status === 400 || answer.status === 413 ? form.dataset.sayLarge : form.dataset.sayFailed, true);
        return;
      }
      const told = await answer.json();
      if (asked === mine) apply(told);
    } catch (error) {
      if (error.name !== "AbortError") say(form.dataset.sayFailed, true);
    } finally {
      if (asked === mine) form.classList.remove("se-checking");
    }
  }

  function say(text, isShown = false) {
    status.textContent = text;
    status.classList.toggle("se-sr", !isShown);
    status.classList.toggle("se-notice", isShown);
    status.classList.toggle("se-notice-bad", isShown);
  }

  function apply(told) {
    review.innerHTML = told.html;
    mark(told.problems, told.form || {});
    say(told.problem_count ? `${form.dataset.sayProblems} ${told.problem_count}` : `${form.dataset.sayFine} ${told.number}`);
  }

  function unmark() {
    for (const node of form.querySelectorAll("[aria-invalid]")) {
      node.removeAttribute("aria-invalid");
      node.removeAttribute("aria-describedby");
    }
    for (const list of form.querySelectorAll("[data-problems]")) list.replaceChildren();
    for (const node of form.querySelectorAll("[data-told]")) node.remove();
  }

  function blame(node, line) {
    line.id = `se-problem-${(problemId += 1)}`;
    node.setAttribute("aria-invalid", "true");
    const others = node.getAttribute("aria-describedby");
    node.setAttribute("aria-describedby", others ? `${others} ${line.id}` : line.id);
  }

  function mark(problems, formErrors) {
    unmark();
    for (const problem of problems) {
      const row = sections.get(problem.section)?.rows[problem.row];
      if (!row) {
        const alone = form.querySelector(`[data-alone="${CSS.escape(problem.part || "-")}"]`);
        if (alone) tell(alone, problem.message);
        continue;
      }
      let node = problem.part ? control(row, problem.part) : null;
      if (!node) {
        complete(row);
        node = problem.part ? control(row, problem.part) : null;
      }
      const line = document.createElement("li");
      const label = node?.closest(".se-edit-part")?.querySelector(".se-edit-part-label")?.textContent;
      line.textContent = label && problem.part !== "name" ? `${label}: ${problem.message}` : problem.message;
      row.node.querySelector("[data-problems]").append(line);
      if (!node) continue;
      blame(node, line);
      const holder = node.closest(".se-edit-part");
      if (holder) holder.hidden = false;
      const more = node.closest("details");
      // Once: whoever closes it again knows.
      if (more && !row.wasOpened) more.open = row.wasOpened = true;
    }
    for (const [name, lines] of Object.entries(formErrors)) {
      const node = form.elements[name];
      // What nobody has typed yet is not wrong yet.
      if (node && (node.value || node.dataset.touched)) for (const line of lines) tell(node, line);
    }
  }

  function tell(node, text) {
    const line = document.createElement("span");
    line.className = "se-problem";
    line.dataset.told = "";
    line.textContent = text;
    node.after(line);
    blame(node, line);
  }

  /* --- what one does ------------------------------------------------------------------------------------ */
  function typed(event) {
    const node = event.target;
    const row = rowOf.get(node.closest("[data-row]"));
    if (row && node.dataset.part) {
      const value = node.type === "checkbox" ? node.checked : node.value;
      if (value) row.values[node.dataset.part] = value;
      else delete row.values[node.dataset.part];
      adapt(row);
    } else if (node.closest("[data-find]")) {
      find(node.value);
      return;
    } else if (!["document", "kinds", "kind_order", "entity_type", "owner"].includes(node.name)) {
      isDirty = true;
      return;
    } else {
      node.dataset.touched = "1";
      showKinds();
    }
    schedule();
  }

  function showKinds() {
    const kinds = form.querySelector("[data-kinds]");
    const order = form.querySelector("[data-kind-order]");
    if (kinds) order.hidden = kinds.value !== "own";
  }

  function find(text) {
    const wanted = text.toLocaleLowerCase();
    for (const row of sections.get("fields").rows) {
      row.node.hidden = !(row.values.name || "").toLocaleLowerCase().includes(wanted);
    }
  }

  function clicked(event) {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.add !== undefined) {
      event.preventDefault();
      const section = sections.get("fields");
      const row = add(section, { type: "string" });
      count(section);
      control(row, "name").focus();
    } else if (button.dataset.override !== undefined) {
      event.preventDefault();
      const section = sections.get("overrides");
      const row = add(section, { name: button.dataset.override });
      count(section);
      complete(row);
      row.node.querySelector("details").open = true;
      control(row, "strategy").focus();
      schedule();
    } else if (button.dataset.remove !== undefined) {
      event.preventDefault();
      const row = rowOf.get(button.closest("[data-row]"));
      const section = sections.get(row.section);
      const place = section.rows.indexOf(row);
      section.rows.splice(place, 1);
      row.node.remove();
      count(section);
      const next = section.rows[Math.min(place, section.rows.length - 1)];
      (next ? next.node.querySelector("[data-remove]") : form.querySelector("[data-add]")).focus();
      schedule();
    } else if (button.value === "check") {
      event.preventDefault();
      check();
    }
  }

  if (form.querySelector("[data-rows]")) {
    const typedRows = data("se-rows");
    for (const list of form.querySelectorAll("[data-rows]")) {
      const section = { name: list.dataset.rows, list, rows: [] };
      sections.set(section.name, section);
      list.replaceChildren();
      const built = document.createDocumentFragment();
      for (const values of typedRows[section.name]) {
        const row = build(section, values);
        section.rows.push(row);
        built.append(row.node);
      }
      list.append(built);
      count(section);
    }
    const nothingTyped = sections.get("fields").rows.every((row) => !row.values.name);
    mark(nothingTyped ? [] : data("se-problems"), {});
    form.addEventListener("formdata", (event) => event.formData.set("rows", serialised()));
  }
  showKinds();
  form.addEventListener("input", typed);
  form.addEventListener("change", typed);
  form.addEventListener("click", clicked);
  form.addEventListener("keydown", (event) => {
    // Enter in a text field would press a button that nobody aimed at.
    if (event.key === "Enter" && event.target.tagName === "INPUT") event.preventDefault();
  });
  form.addEventListener("submit", () => {
    isLeaving = true;
    clearTimeout(timer);
    asked?.abort();
  });
  window.addEventListener("pageshow", () => (isLeaving = false));
  window.addEventListener("beforeunload", (event) => {
    if (isDirty && !isLeaving) event.preventDefault();
  });
})();
