"""What several test files share: reference model, SQL cases, worlds to plant faults in, small jobs, fakes."""
