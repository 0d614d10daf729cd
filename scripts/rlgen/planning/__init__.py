"""What will run, why, and what it takes: before any of it runs (docs/plan.md)."""
