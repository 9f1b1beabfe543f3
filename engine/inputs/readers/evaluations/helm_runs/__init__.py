"""Runs of HELM: requests with an answer of the model's, and answers that were scored one by one."""
