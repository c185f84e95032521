"""The migration: from facts to ordered steps, and the engine that runs, resumes and rolls them back."""
