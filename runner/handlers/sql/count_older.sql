SELECT count(*) FROM {table} WHERE {column} < {cutoff}
