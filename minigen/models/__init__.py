"""Generative models, one file each, to be read from top to bottom.

How each is trained stands in `minigen.training.recipes`.
"""

from minigen.models.adversarial import fgsm, pgd
from minigen.models.beam_search import beam_search, greedy_search
from minigen.models.bert import Bert, BertConfig
from minigen.models.conditional_gan import (
    ConditionalDiscriminator,
    ConditionalGANConfig,
    ConditionalGenerator,
)
from minigen.models.conditional_vae import ConditionalVAE, ConditionalVAEConfig
from minigen.models.dcgan import ConvDiscriminator, ConvGenerator, DCGANConfig
from minigen.models.denoiser import DenoiserConfig, UNet
from minigen.models.diffusion import Diffusion
from minigen.models.encoder_decoder import (
    EncoderDecoder,
    EncoderDecoderConfig,
    label_smoothed_loss,
)
from minigen.models.flow_matching import flow, flow_matching_loss
from minigen.models.gan import (
    Discriminator,
    GANConfig,
    Generator,
    MLPDiscriminator,
    MLPGenerator,
)
from minigen.models.gan_losses import (
    critic_loss,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
)
from minigen.models.guidance import guided, hide_classes
from minigen.models.linear_autoregressive import LinearAR
from minigen.models.llama import Llama, LlamaConfig
from minigen.models.lora import LoRALinear, add_lora, merge_lora
from minigen.models.masked_language import fill, hide, masked_loss
from minigen.models.point_gan import PointDiscriminator, PointGANConfig, PointGenerator
from minigen.models.pretrained import load_pretrained, save_pretrained
from minigen.models.probing import LinearProbe
from minigen.models.recurrent import RNN, RNNConfig
from minigen.models.sampling import Sampling, next_token, write_text
from minigen.models.sentence import SentenceEncoder, load_sentence_encoder, mean_of_tokens
from minigen.models.style_gan import (
    StyleGANConfig,
    StyleGenerator,
    adaptive_instance_norm,
    mix_styles,
)
from minigen.models.style_transfer import StyleTransfer, gram_matrix
from minigen.models.symbol_prior import SymbolPrior, SymbolPriorConfig
from minigen.models.text_to_image import TextToImage, TextToImageConfig
from minigen.models.transformer import GPT, GPTConfig, next_token_loss
from minigen.models.vae import (
    VAE,
    ConvVAE,
    ConvVAEConfig,
    VAEConfig,
    elbo,
    kl_divergence,
    reparameterize,
)
from minigen.models.vq_vae import VQVAE, VQVAEConfig
from minigen.models.wavenet import WaveNet, WaveNetConfig
