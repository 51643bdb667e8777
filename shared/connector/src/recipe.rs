//! Destinations that a shipped recipe describes: `rest`, with the parameters put in.

use driftless_config::destination::RecipeDestination;

use crate::{BuildError, Capabilities, HttpPolicy, Secrets, rest};

pub(crate) fn capabilities(config: &RecipeDestination) -> Capabilities {
    let described = config.expand().map(|described| rest::capabilities(&described)).unwrap_or_default();
    Capabilities { normalisation: config.named().map_or(&[], |recipe| recipe.wants()), ..described }
}

pub(crate) fn build(
    config: &RecipeDestination,
    list: &str,
    secrets: &dyn Secrets,
    policy: HttpPolicy,
) -> Result<rest::Rest, BuildError> {
    let described = config.expand().map_err(|flaws| {
        let flaw = flaws.into_iter().next().expect("a recipe that cannot be filled in says why");
        BuildError::Flaw { key: flaw.key, message: flaw.message, remedy: flaw.remedy }
    })?;
    let normalisation = config.named().map_or(&[][..], |recipe| recipe.wants());
    Ok(rest::Rest::new(&described, list, secrets, policy)?.wanting(normalisation))
}
