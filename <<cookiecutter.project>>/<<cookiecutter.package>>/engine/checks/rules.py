"""The rules, one row each. To drop a rule, delete its row and the function that its file has for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A rule of training.

    Args:
        title: the rule.
        verdict: of a run that breaks it: wrong stops the run, check is only said.
        effect: what happens when it is broken.
        remedy: what to change.
        section: of README.md.
        file: of engine/, where the rule is looked at.
    """

    title: str
    verdict: str
    effect: str
    remedy: str
    section: str
    file: str


RULES = {
    "registered": Rule(
        "every layer and parameter is registered in its module",
        "wrong",
        "it is not trained, saved or moved to the GPU",
        "assign it as an attribute in __init__, or use nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.Parameter",
        "the-model",
        "checks/model.py",
    ),
    "called": Rule(
        "a module is called as model(x), never as model.forward(x)",
        "check",
        "hooks, torch.compile and DistributedDataParallel act in the call and are left out",
        "write model(x) instead of model.forward(x)",
        "the-model",
        "checks/model.py",
    ),
    "optimizer": Rule(
        "every trained parameter is in exactly one optimizer",
        "wrong",
        "gradients are computed for it and it is never updated",
        "hand it to the optimizer, make the optimizer after the last layer, or freeze it with requires_grad_(False)",
        "the-model",
        "checks/steps.py",
    ),
    "train_mode": Rule(
        "modules train in train mode, frozen batch norm stays in eval mode",
        "wrong",
        "dropout drops nothing, and batch norm uses running statistics that it does not update",
        "leave out the .eval(), or call .train() after it: Lightning does so only after its own evaluations",
        "the-model",
        "checks/model.py",
    ),
    "num_classes": Rule(
        "the model gives one logit for each class",
        "wrong",
        "probability goes to classes that do not exist, and the loss cannot become small",
        "end with nn.Linear(..., self.hparams.num_classes), which comes from the data",
        "the-model",
        "checks/losses.py",
    ),
    "independent": Rule(
        "sample i of a batch influences output i alone",
        "wrong",
        "a prediction depends on which samples happen to be in the same batch, in training and afterwards",
        "look for view or reshape where permute is meant, for batch_first=True, and for a softmax, mean or norm over dim 0",
        "the-model",
        "checks/trial.py",
    ),
    "logits": Rule(
        "a loss that applies softmax or sigmoid takes logits",
        "wrong",
        "it is applied twice: the loss cannot come near 0, gradients are small, and learning is slow",
        "hand over the output of the last linear layer as it is",
        "the-model",
        "checks/losses.py",
    ),
    "order": Rule(
        "each step is zero_grad, backward, step, in that order",
        "wrong",
        "the weights follow other gradients than those of their batch",
        "in each batch: optimizer.zero_grad(), then loss.backward(), then optimizer.step()",
        "the-loop",
        "checks/steps.py",
    ),
    "loss": Rule(
        "the loss is one number with a gradient for the model",
        "wrong",
        "no parameter receives a gradient, and nothing is learnt",
        "compute it from the model's output, without .item(), .detach(), torch.tensor(...) or no_grad, and return it",
        "the-loop",
        "checks/losses.py",
    ),
    "gradients": Rule(
        "every trained parameter receives a finite gradient other than 0",
        "check",
        "it stays as it was initialised",
        "use it in forward, without detach, no_grad, numpy or a rounding on the way to the loss, or remove it",
        "the-loop",
        "checks/steps.py",
    ),
    "weights": Rule(
        "the weights change when the optimizer steps",
        "wrong",
        "nothing is learnt",
        "look for a learning rate of 0 or far too small, and for code that puts old weights back",
        "the-loop",
        "checks/steps.py",
    ),
    "first_loss": Rule(
        "the first loss is that of a model that knows nothing yet",
        "check",
        "the first steps only undo a bad start",
        "initialise the last layer with smaller weights",
        "the-loop",
        "checks/losses.py",
    ),
    "schedule": Rule(
        "the scheduler steps as often as it was built for",
        "wrong",
        "the learning rate follows a small part of its schedule, or the same part again and again",
        "set `interval` of the scheduler to what its length counts: step or epoch",
        "the-loop",
        "checks/schedule.py",
    ),
    "labels": Rule(
        "labels name a class, and have the shape of what they are compared with",
        "wrong",
        "the loss fails on them, leaves them out, or counts them for another class",
        "number the classes from 0, as torch.int64 of shape (B,)",
        "the-data",
        "checks/losses.py",
    ),
    "inputs": Rule(
        "inputs are finite and on a sane scale",
        "check",
        "weights are initialised for inputs near mean 0 and deviation 1: training is slow or unstable",
        "divide images by 255 once; subtract the mean of the training split and divide by its deviation",
        "the-data",
        "checks/data.py",
    ),
    "splits": Rule(
        "no sample is in two splits",
        "wrong",
        "what was learnt by heart is counted as understood",
        "split once, with a seed of its own, and before samples are copied",
        "the-data",
        "checks/data.py",
    ),
    "shuffling": Rule(
        "training data comes in a new order in each epoch, evaluation data in the same",
        "check",
        "batches hold the same samples each time, of one class when the data is sorted: less is learnt",
        "set shuffle=True for the training loader, and no seed anew in each epoch",
        "the-data",
        "checks/data.py",
    ),
    "augmentation": Rule(
        "augmentation is random in training and absent from evaluation",
        "check",
        "scores are partly chance, and lower than those of the samples themselves",
        "make the random transform a part of the training dataset, or of training_step, alone",
        "the-data",
        "checks/data.py",
    ),
    "eval_mode": Rule(
        "evaluation runs in eval mode and without gradients",
        "check",
        "the scores are those of another model, and change from time to time",
        "make modules in __init__, write dropout(x, p, training=self.training), and leave .train() out of evaluation",
        "the-evaluation",
        "checks/evaluation.py",
    ),
    "unchanged": Rule(
        "evaluation changes no parameter and no buffer that training learns",
        "wrong",
        "the model learns from the samples that are to judge it",
        "change it only `if self.training`",
        "the-evaluation",
        "checks/evaluation.py",
    ),
    "metrics": Rule(
        "a metric counts each sample of the split once",
        "check",
        "it is another number than that of the whole split",
        "update one metric object in each batch and log the object itself; or log a mean with batch_size=len(labels)",
        "the-evaluation",
        "checks/evaluation.py",
    ),
    "stages": Rule(
        "each stage has metrics of its own, and the sanity check leaves nothing in them",
        "wrong",
        "samples of another stage are counted",
        "give each stage a metric object of its own and log that object; reset in on_train_start what is kept over epochs",
        "the-evaluation",
        "checks/evaluation.py",
    ),
    "best": Rule(
        "the checkpoint called best scores what its record says",
        "wrong",
        "the run reports a result that evaluate.py and whoever loads the checkpoint do not get",
        "assign every layer and buffer in __init__, and validate the weights that the checkpoint saves",
        "the-evaluation",
        "doctor/",
    ),
    "one_batch": Rule(
        "one batch can be learnt by heart",
        "check",
        "what cannot be learnt from one batch is not learnt from many",
        "look for labels that do not belong to their inputs, for inputs that are lost on the way, for a learning rate far off",
        "the-doctor",
        "doctor/",
    ),
    "zero_inputs": Rule(
        "real inputs teach more than zeros",
        "check",
        "the model learns how frequent the labels are, and nothing about the inputs",
        "look at what reaches the first layer, and at whether inputs and labels are in the same order",
        "the-doctor",
        "doctor/",
    ),
    "seed": Rule(
        "the same seed gives the same losses, another seed does not",
        "wrong",
        "a result cannot be repeated, or several seeds are the same run",
        "leave seeding to `seed` in the config: no manual_seed of the clock or of a constant in the model or the data",
        "the-doctor",
        "doctor/",
    ),
    "build": Rule(
        "torch is built for this machine",
        "wrong",
        "the GPU stands idle",
        "install the build of torch for this GPU: see pytorch.org/get-started",
        "the-doctor",
        "doctor/",
    ),
    "speed": Rule(
        "the network is what takes the time",
        "check",
        "training waits for something else",
        "see the line above",
        "the-doctor",
        "doctor/",
    ),
}
