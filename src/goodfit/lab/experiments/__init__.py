"""The experiments, one file each: every module has one `EXPERIMENT`. A new one is one file and its test."""
