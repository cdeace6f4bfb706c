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
        "it is not trained, saved or moved to the GPU", "make it an attribute, or use nn.ModuleList or ParameterList"),
    "called": Rule("check", "the-model", "model.py", "a module is called as model(x), never as model.forward(x)",
        "hooks, torch.compile and DDP act in the call and are left out", "write model(x) instead of model.forward(x)"),
    "optimizer": Rule("wrong", "the-model", "steps.py", "every trained parameter is in exactly one optimizer",
        "it receives gradients and is never updated", "hand it to the optimizer, or freeze it: requires_grad_(False)"),
    "train_mode": Rule("wrong", "the-model", "model.py", "what trains is in train mode, frozen batch norm in eval mode",
        "dropout drops nothing, batch norm learns no statistics", "call .train() after .eval(): Lightning does not"),
    "num_classes": Rule("wrong", "the-model", "calls.py", "the model gives one logit for each class",
        "probability goes to classes that do not exist", "end with nn.Linear(..., self.hparams.num_classes)"),
    "independent": Rule("wrong", "the-model", "evaluation.py", "sample i of a batch influences output i alone",
        "predictions depend on their batch", "look for view for permute, batch_first, a softmax or mean over dim 0"),
    "logits": Rule("wrong", "the-model", "calls.py", "a loss that applies softmax or sigmoid takes logits",
        "applied twice, it keeps the loss high and gradients small", "hand over the output of the last layer as it is"),
    "order": Rule("wrong", "the-loop", "steps.py", "each step is zero_grad, backward, step, in that order",
        "the weights follow wrong gradients", "each batch: optimizer.zero_grad(), loss.backward(), optimizer.step()"),
    "loss": Rule("wrong", "the-loop", "calls.py", "the loss is one number with a gradient for the model",
        "nothing is learnt", "compute it without .item(), .detach(), torch.tensor() or no_grad, and return it"),
    "gradients": Rule("check", "the-loop", "steps.py", "every trained parameter gets a finite gradient other than 0",
        "it stays as it was initialised", "use it without detach, no_grad, numpy or rounding, or remove it"),
    "weights": Rule("wrong", "the-loop", "steps.py", "the weights change when the optimizer steps",
        "nothing is learnt", "look for a learning rate near 0, and for code that puts old weights back"),
    "schedule": Rule("wrong", "the-loop", "model.py", "the scheduler steps as often as it was built for",
        "the learning rate follows a part of its schedule", "set `interval` to what its length counts: step or epoch"),
    "labels": Rule("wrong", "the-data", "calls.py", "labels name a class, and are compared one with one",
        "the loss fails on them or counts them for another class", "number the classes from 0, as int64 (B,)"),
    "inputs": Rule("check", "the-data", "data.py", "inputs are finite and on a sane scale",
        "training is slow or unstable", "divide images by 255 once; subtract the mean and divide by the std of train"),
    "splits": Rule("wrong", "the-data", "data.py", "no sample is in two splits",
        "what was learnt by heart counts as understood", "split once, with its own seed, before samples are copied"),
    "shuffling": Rule("check", "the-data", "data.py", "training data comes in a new order each epoch",
        "batches hold the same samples each time: less is learnt", "set shuffle=True, and no seed in each epoch"),
    "augmentation": Rule("check", "the-data", "data.py", "augmentation is random in training, absent in evaluation",
        "scores are partly chance, and too low", "keep random transforms to the training dataset or training_step"),
    "eval_mode": Rule("check", "the-evaluation", "evaluation.py", "evaluation runs in eval mode and without gradients",
        "the scores are those of another model", "no .train() in evaluation; dropout(x, p, training=self.training)"),
    "unchanged": Rule("wrong", "the-evaluation", "evaluation.py", "evaluation changes nothing that training learns",
        "the model learns from what is to judge it", "change it only `if self.training`"),
    "metrics": Rule("check", "the-evaluation", "evaluation.py", "a metric counts each sample of the split once",
        "it is not that of the whole split", "log a metric object, updated once a batch; or a mean with batch_size"),
    "stages": Rule("wrong", "the-evaluation", "evaluation.py", "metrics hold no samples of another stage",
        "other samples count too", "one metric object a stage, logged itself; reset in on_train_start what is kept"),
    "best": Rule("wrong", "the-evaluation", "../doctor", "the checkpoint called best scores what its record says",
        "loading it gives another result", "register all that is learnt, and validate the weights that are saved"),
    "one_batch": Rule("check", "the-doctor", "../doctor", "one batch can be learnt by heart",
        "then many are not learnt either", "look at the labels, at what reaches the first layer, at the learning rate"),
    "zero_inputs": Rule("check", "the-doctor", "../doctor", "real inputs teach more than zeros",
        "the model learns nothing about its inputs", "look at what reaches the first layer, and at the label order"),
    "seed": Rule("wrong", "the-doctor", "../doctor", "the same seed gives the same losses, another seed does not",
        "no result can be repeated, or all seeds are one run", "leave seeding to `seed` in the config"),
    "build": Rule("wrong", "the-doctor", "../doctor", "torch is built for this machine",
        "the GPU stands idle", "install the build of torch for this GPU: pytorch.org/get-started"),
    "speed": Rule("check", "the-doctor", "../doctor", "the network is what takes the time",
        "training waits for something else", "see the line above"),
}
