"""The ledger: claims with thresholds fixed before a run, judged from the study's tidy tables alone."""
