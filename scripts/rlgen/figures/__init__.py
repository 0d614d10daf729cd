"""The figures and tables: each module draws one page from small tidy tables alone."""
