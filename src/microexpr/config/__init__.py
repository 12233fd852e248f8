"""Study files: components with their parameters, settings, experiments, studies."""
