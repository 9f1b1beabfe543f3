"""The logs of evaluation tools: one file per tool, each of which says what prompt, answer, target and score are."""
