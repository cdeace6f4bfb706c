from lightning import Callback
from <<cookiecutter.package>>.engine.checks.findings import Findings

class TrainingChecks(Callback):
    def __init__(self, answer="error", intended=None, checkpoint=None):
        self.findings = Findings(answer, [] if intended is None else intended)
