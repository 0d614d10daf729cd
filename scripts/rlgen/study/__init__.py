"""What a study's file says, and what each rule may know of it (docs/architecture.md)."""
