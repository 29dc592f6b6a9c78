"""General purpose lines: buttons that are driven, levels that are read."""
