"""What holds weights: folders, adapters beside them, quantised ones, and bringing them here."""
