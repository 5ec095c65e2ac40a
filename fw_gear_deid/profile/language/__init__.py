"""The words of the language → selectors, actions and rules."""
