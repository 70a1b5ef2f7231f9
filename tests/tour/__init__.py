"""The guided tour: its stops, how they are walked, the pictures of them, and the test that walks them all."""
