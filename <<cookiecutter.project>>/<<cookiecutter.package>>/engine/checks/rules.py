"""The rules, one row each. To drop a rule, delete its row and the function that its file has for it."""

from typing import NamedTuple


class Rule(NamedTuple):
    """A rule of training.

    Args:
        verdict: on a run that breaks it: wrong stops the run, check is only said. A finding may differ.
        section: of README.md.
        file: in this folder, where the rule is looked at.
        title: the rule.
        effect: what happens when it is broken.
        remedy: what to change.
    """

    verdict: str
    section: str
    file: str
    title: str
    effect: str
    remedy: str


# A table: row by row it reads better than one value a line.
# fmt: off
RULES = {
    "registered": Rule("wrong", "the-model", "model.py", "every layer and parameter is registered in its module",
        "it is not trained, saved or moved to the GPU",
        "assign it as an attribute in __init__, or use nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.Parameter"),
    "called": Rule("check", "the-model", "model.py", "a module is called as model(x), never as model.forward(x)",
        "hooks, torch.compile and DistributedDataParallel act in the call and are left out",
        "write model(x) instead of model.forward(x)"),
    "optimizer": Rule("wrong", "the-model", "steps.py", "every trained parameter is in exactly one optimizer",
        "gradients are computed for it and it is never updated",
        "hand it to the optimizer, make the optimizer after the last layer, or freeze it with requires_grad_(False)"),
    "train_mode": Rule("wrong", "the-model", "model.py", "what trains is in train mode, frozen batch norm in eval mode",
        "dropout drops nothing, and batch norm uses running statistics that it does not update",
        "leave out the .eval(), or call .train() after it: Lightning does so only after its own evaluations"),
    "num_classes": Rule("wrong", "the-model", "calls.py", "the model gives one logit for each class",
        "probability goes to classes that do not exist, and the loss cannot become small",
        "end with nn.Linear(..., self.hparams.num_classes), which comes from the data"),
    "independent": Rule("wrong", "the-model", "evaluation.py", "sample i of a batch influences output i alone",
        "a prediction depends on which samples happen to be in the same batch, in training and afterwards",
        "look for view where permute is meant, for batch_first=True, and for a softmax, mean or norm over dim 0"),
    "logits": Rule("wrong", "the-model", "calls.py", "a loss that applies softmax or sigmoid takes logits",
        "it is applied twice: the loss cannot come near 0, gradients are small, and learning is slow",
        "hand over the output of the last linear layer as it is"),
    "order": Rule("wrong", "the-loop", "steps.py", "each step is zero_grad, backward, step, in that order",
        "the weights follow other gradients than those of their batch",
        "in each batch: optimizer.zero_grad(), then loss.backward(), then optimizer.step()"),
    "loss": Rule("wrong", "the-loop", "calls.py", "the loss is one number with a gradient for the model",
        "no parameter receives a gradient, and nothing is learnt",
        "compute it from the model's output, without .item(), .detach(), torch.tensor(...) or no_grad, and return it"),
    "gradients": Rule("check", "the-loop", "steps.py", "every trained parameter gets a finite gradient other than 0",
        "it stays as it was initialised",
        "use it in forward, without detach, no_grad, numpy or a rounding on the way to the loss, or remove it"),
    "weights": Rule("wrong", "the-loop", "steps.py", "the weights change when the optimizer steps",
        "nothing is learnt",
        "look for a learning rate of 0 or far too small, and for code that puts old weights back"),
    "first_loss": Rule("check", "the-loop", "calls.py", "the first loss is that of a model that knows nothing yet",
        "the first steps only undo a bad start",
        "initialise the last layer with smaller weights"),
    "schedule": Rule("wrong", "the-loop", "model.py", "the scheduler steps as often as it was built for",
        "the learning rate follows a small part of its schedule, or the same part again and again",
        "set `interval` of the scheduler to what its length counts: step or epoch"),
    "labels": Rule("wrong", "the-data", "calls.py", "labels name a class, and are compared one with one",
        "the loss fails on them, leaves them out, or counts them for another class",
        "number the classes from 0, as torch.int64 of shape (B,)"),
    "inputs": Rule("check", "the-data", "data.py", "inputs are finite and on a sane scale",
        "weights are initialised for inputs near mean 0 and deviation 1: training is slow or unstable",
        "divide images by 255 once; subtract the mean of the training split and divide by its deviation"),
    "splits": Rule("wrong", "the-data", "data.py", "no sample is in two splits",
        "what was learnt by heart is counted as understood",
        "split once, with a seed of its own, and before samples are copied"),
    "shuffling": Rule("check", "the-data", "data.py", "training data comes in a new order each epoch",
        "batches hold the same samples each time, of one class when the data is sorted: less is learnt",
        "set shuffle=True for the training loader, and no seed anew in each epoch"),
    "augmentation": Rule("check", "the-data", "data.py", "augmentation is random in training, absent in evaluation",
        "scores are partly chance, and lower than those of the samples themselves",
        "make the random transform a part of the training dataset, or of training_step, alone"),
    "eval_mode": Rule("check", "the-evaluation", "evaluation.py", "evaluation runs in eval mode and without gradients",
        "the scores are those of another model, and change from time to time",
        "make modules in __init__, write dropout(x, p, training=self.training), and leave .train() out of evaluation"),
    "unchanged": Rule("wrong", "the-evaluation", "evaluation.py", "evaluation changes nothing that training learns",
        "the model learns from the samples that are to judge it",
        "change it only `if self.training`"),
    "metrics": Rule("check", "the-evaluation", "evaluation.py", "a metric counts each sample of the split once",
        "it is another number than that of the whole split",
        "update one metric object in each batch and log the object itself; or log a mean with batch_size=len(labels)"),
    "stages": Rule("wrong", "the-evaluation", "evaluation.py", "metrics hold no samples of another stage",
        "samples of another stage are counted",
        "give each stage its own metric object and log that object; reset in on_train_start what is kept over epochs"),
    "best": Rule("wrong", "the-evaluation", "../doctor", "the checkpoint called best scores what its record says",
        "the run reports a result that evaluate.py and whoever loads the checkpoint do not get",
        "assign every layer and buffer in __init__, and validate the weights that the checkpoint saves"),
    "one_batch": Rule("check", "the-doctor", "../doctor", "one batch can be learnt by heart",
        "what cannot be learnt from one batch is not learnt from many",
        "look for labels of other inputs, for inputs that are lost on the way, for a learning rate that is far off"),
    "zero_inputs": Rule("check", "the-doctor", "../doctor", "real inputs teach more than zeros",
        "the model learns how frequent the labels are, and nothing about the inputs",
        "look at what reaches the first layer, and at whether inputs and labels are in the same order"),
    "seed": Rule("wrong", "the-doctor", "../doctor", "the same seed gives the same losses, another seed does not",
        "a result cannot be repeated, or several seeds are the same run",
        "leave seeding to `seed` in the config: no manual_seed of the clock or of a constant in the model or the data"),
    "build": Rule("wrong", "the-doctor", "../doctor", "torch is built for this machine",
        "the GPU stands idle",
        "install the build of torch for this GPU: see pytorch.org/get-started"),
    "speed": Rule("check", "the-doctor", "../doctor", "the network is what takes the time",
        "training waits for something else",
        "see the line above"),
}
