"""Tells somebody how a run went: by e-mail, by a webhook. Never a value of a patient."""
