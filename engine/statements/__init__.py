"""Financial statements inside a text: tables, line items, periods and printed numbers."""
