"""Which features: NRN and MAS, dynamics over training, mediating sets (docs/method.md, sections 5 to 7)."""
