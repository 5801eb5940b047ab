"""Generative models, one file each, to be read from top to bottom.

How each is trained stands in `minigen.training.recipes`.
"""

from minigen.models.gan import (
    Discriminator,
    GANConfig,
    GeneratorNetwork,
    discriminator_loss,
    generator_loss,
)
from minigen.models.transformer import GPT, GPTConfig, next_token, next_token_loss
from minigen.models.vae import VAE, VAEConfig, elbo, kl_divergence, reparameterize
