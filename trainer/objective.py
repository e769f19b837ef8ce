"""What DDP and FSDP2 wrap: a model with its loss as one module, which also tells what each token cost."""

import torch

from trainer.head import head_of, hidden_states
from trainer.loss import supervised_loss
from trainer.model import Trainee
from trainer.pack import Batch


class Objective(Trainee):
    """Call it with a pack: Σ w·CE, a scalar with a graph, and w·CE of each supervised position [k], without one."""

    def forward(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:  # type: ignore[override, unused-ignore]
        if self.compiled:
            torch._dynamo.maybe_mark_dynamic(batch.cu_seqlens, 0)
        hidden = hidden_states(self.model, batch, self.backend)
        head = head_of(self.model)
        parts = torch.zeros(len(batch.supervised), dtype=torch.float32, device=hidden.device)
        loss = supervised_loss(
            hidden,
            head.weight,
            batch.targets,
            batch.weights,
            self.chunk,
            bias=head.bias,
            scale=head.scale,
            softcap=head.softcap,
            supervised=batch.supervised,
            parts=parts,
        )
        return loss, parts
