"""What a job should be: the folder's content as values."""
