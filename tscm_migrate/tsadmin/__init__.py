"""The dialogues of `tsadmin`: a closed table of questions decides each answer; a person is asked about any other."""
