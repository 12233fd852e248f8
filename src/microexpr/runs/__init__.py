"""Running experiments and studies: planning, training fold by fold, storing."""
