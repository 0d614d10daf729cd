"""What a study may say, one module per stage, so that a script imports only the settings it obeys."""
