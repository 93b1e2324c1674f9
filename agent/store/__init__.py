"""The only SQL: named queries, migrations, and thin functions over them."""
