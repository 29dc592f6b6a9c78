"""Programs that the judges' own Python runs: other people's client libraries, and the truth by another door of ours."""
