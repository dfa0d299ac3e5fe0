"""Every record that entered, by what became of it, counted twice."""
