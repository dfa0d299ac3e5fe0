"""The drill of the alerts: each rule is made to fire by what it is about, told once, and resolved again."""
