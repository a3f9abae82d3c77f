"""The experiments of the subject, each rerunnable and measured."""
