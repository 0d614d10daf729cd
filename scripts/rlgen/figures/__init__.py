"""One module per page: from tidy tables to a figure or table (docs/method.md, section 9)."""
