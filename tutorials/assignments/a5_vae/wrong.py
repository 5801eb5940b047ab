"""Wrong solutions of A5, one a cell: which part of it they break, and what the student is told."""


# %% breaks="kl" also=["ln sigma", "elbo"] says="the sign is wrong: a divergence is never negative"
@for_arrays
def kl(mu, logvar):
    return 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)


# %% breaks="kl" also=["ln sigma", "elbo"] says="logvar is taken for ln sigma"
@for_arrays
def kl(mu, logvar):
    return -0.5 * (1 + 2 * logvar - mu**2 - (2 * logvar).exp()).sum(1)


# %% breaks="kl" also=["ln sigma", "elbo"] says="averaged over the latent numbers; nats add up"
@for_arrays
def kl(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).mean(1)


# %% breaks="kl" also=["ln sigma", "elbo"] says="averaged over latent numbers and images"
@for_arrays
def kl(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).mean()


# %% breaks="kl" also=["ln sigma", "elbo"] says="twice too large"
@for_arrays
def kl(mu, logvar):
    return -(1 + logvar - mu**2 - logvar.exp()).sum(1)


# %% breaks="kl" also=["elbo"] only_hidden=true says="the slope with respect to logvar"
@for_arrays
def kl(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.detach().exp()).sum(1)


# %% breaks="ln sigma" says="ln sigma is taken for ln sigma squared"
@for_arrays
def kl_of_log_sigma(mu, log_sigma):
    return kl(mu, log_sigma)


# %% breaks="ln sigma" says="KL from ln sigma against 30,000 draws"
@for_arrays
def kl_of_log_sigma(mu, log_sigma):
    return kl(mu, log_sigma / 2)


# %% breaks="likelihood" also=["elbo"] only_hidden=true says="expected -40"
@for_arrays
def log_likelihood(logits, x):
    y = logits.sigmoid()
    return (x * y.log() + (1 - x) * (1 - y).log()).sum(1)


# %% breaks="likelihood" only_hidden=true says="something small inside the logarithm caps it"
@for_arrays
def log_likelihood(logits, x):
    y = logits.sigmoid()
    return (x * (y + 1e-10).log() + (1 - x) * (1 - y + 1e-10).log()).sum(1)


# %% breaks="likelihood" only_hidden=true says="expected -1000"
@for_arrays
def log_likelihood(logits, x):
    return (x * logits - (1 + logits.exp()).log()).sum(1)


# %% breaks="likelihood" also=["elbo"] says="the sign is that of a loss"
@for_arrays
def log_likelihood(logits, x):
    return (F.softplus(logits) - x * logits).sum(1)


# %% breaks="likelihood" also=["elbo"] says="averaged over the pixels; nats add up"
@for_arrays
def log_likelihood(logits, x):
    return (x * logits - F.softplus(logits)).mean(1)


# %% breaks="likelihood" also=["elbo"] says="the term with 1 - x, is missing"
@for_arrays
def log_likelihood(logits, x):
    return (x * F.logsigmoid(logits)).sum(1)


# %% breaks="likelihood" says="uses binary_cross_entropy_with_logits (line 3 of the cell of"
@for_arrays
def log_likelihood(logits, x):
    return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


# %% breaks="reparameterise" says="logvar itself is taken for sigma"
@for_arrays
def reparameterise(mu, logvar, noise):
    return mu + logvar * noise


# %% breaks="reparameterise" says="the noise is multiplied by the variance, not by sigma"
@for_arrays
def reparameterise(mu, logvar, noise):
    return mu + logvar.exp() * noise


# %% breaks="reparameterise" says="it is 0: nothing is drawn"
@for_arrays
def reparameterise(mu, logvar, noise):
    return mu


# %% breaks="reparameterise" says="the slope with respect to mu: it is 0: the draw is cut off from it"
@for_arrays
def reparameterise(mu, logvar, noise):
    mu, logvar, noise = (each.detach().numpy() for each in (mu, logvar, noise))
    return minigen.tensor(mu + np.exp(logvar / 2) * noise)


# %% breaks="reparameterise" says="the slope with respect to logvar: it is 0: the draw is cut off"
@for_arrays
def reparameterise(mu, logvar, noise):
    with minigen.no_grad():
        sigma = (0.5 * logvar).exp()
    return mu + sigma * noise


# %% breaks="reparameterise" only_hidden=true says="z of 1 images and 1 latent numbers"
@for_arrays
def reparameterise(mu, logvar, noise):
    return mu - (0.5 * logvar).exp() * noise


# %% breaks="elbo" says="the sign is that of a loss; the bound is to be made large"
@for_arrays
def elbo(logits, x, mu, logvar, beta):
    return (beta * kl(mu, logvar) - log_likelihood(logits, x)).mean()


# %% breaks="elbo" says="means over pixels and latent numbers"
@for_arrays
def elbo(logits, x, mu, logvar, beta):
    fit = (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).mean()
    return fit + beta * 0.5 * (1 + logvar - mu**2 - logvar.exp()).mean()


# %% breaks="elbo" says="the divergence is added"
@for_arrays
def elbo(logits, x, mu, logvar, beta):
    return (log_likelihood(logits, x) + beta * kl(mu, logvar)).mean()


# %% breaks="elbo" says="summed over the images"
@for_arrays
def elbo(logits, x, mu, logvar, beta):
    return (log_likelihood(logits, x) - beta * kl(mu, logvar)).sum()


# %% breaks="elbo" says="beta is not used"
@for_arrays
def elbo(logits, x, mu, logvar, beta):
    return (log_likelihood(logits, x) - kl(mu, logvar)).mean()


# %% breaks="elbo" says="one number is asked for"
@for_arrays
def elbo(logits, x, mu, logvar, beta):
    return log_likelihood(logits, x) - beta * kl(mu, logvar)


# %% breaks="elbo" only_hidden=true says="the slope with respect to mu"
@for_arrays
def elbo(logits, x, mu, logvar, beta):
    return (log_likelihood(logits, x) - beta * kl(mu, logvar).detach()).mean()


# %% breaks="beta" says="the ratio of the two losses goes from"
def beta_of_means(pixels, latents):
    return latents / pixels


# %% breaks="bound" says="the mean of the logarithms is the ELBO"
@for_arrays
def importance_bound(log_weights):
    return log_weights.mean(1)


# %% breaks="bound" says="the sum of the weights is taken for their mean"
@for_arrays
def importance_bound(log_weights):
    largest = log_weights.max(1, keepdim=True).values
    return (log_weights - largest).exp().sum(1).log() + largest.squeeze(1)


# %% breaks="bound" only_hidden=true says="the bound for log weights near -1500: not finite"
@for_arrays
def importance_bound(log_weights):
    return log_weights.exp().mean(1).log()


# %% breaks="bound" says="the images are mixed"
@for_arrays
def importance_bound(log_weights):
    largest = log_weights.max()
    return (log_weights - largest).exp().mean().log() + largest + 0 * log_weights[:, 0]


# %% breaks="bound" says="uses logsumexp"
@for_arrays
def importance_bound(log_weights):
    return log_weights.logsumexp(1) - np.log(log_weights.shape[1])
