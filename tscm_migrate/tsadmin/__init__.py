"""The dialogues of `tsadmin`: a closed table of questions decides each answer; unknown questions go to a person."""
