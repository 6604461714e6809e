"""What a person looks at: tables, plots, galleries, pages."""
