//! The models that come with this crate, under the feature `shipped`: folders of `models/` in the repository.
//!
//! A checkpoint's path that is the name of one means it, unless there is a folder of that name.

use std::path::Path;

use sr_model::Files;

/// The model that searches use by default.
pub const DEFAULT: &str = "arithmetic";

/// The model that fits use by default, whose constants are placeholders.
pub const FUNCTIONS: &str = "functions";

macro_rules! files {
    ($name:literal) => {
        (
            $name,
            Files {
                weights: include_bytes!(concat!("../../../models/", $name, "/model.safetensors")),
                config: include_str!(concat!("../../../models/", $name, "/config.json")),
                tokenizer: include_str!(concat!("../../../models/", $name, "/tokenizer.json")),
                meta: include_str!(concat!("../../../models/", $name, "/meta.json")),
            },
        )
    };
}

/// The names and files of the models.
#[cfg(feature = "shipped")]
const MODELS: &[(&str, Files<'static>)] =
    &[files!("arithmetic"), files!("arithmetic-expert-only"), files!("functions")];
#[cfg(not(feature = "shipped"))]
const MODELS: &[(&str, Files<'static>)] = &[];

/// Returns the names of the models.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

/// Returns the files of the model that a path names; `None` if there is none, or a folder of that name.
pub fn files(checkpoint: &Path) -> Option<&'static Files<'static>> {
    let model = MODELS.iter().find(|(name, _)| checkpoint == Path::new(name));
    model.filter(|_| !checkpoint.exists()).map(|(_, files)| files)
}

#[cfg(all(test, feature = "shipped"))]
mod tests {
    use sr_model::{Checkpoint, DeviceKind};

    use super::*;
    use crate::{Learner, Sampling};

    #[test]
    fn every_model_is_a_learner_of_at_most_four_megabytes_with_a_card() {
        let device = DeviceKind::Cpu.open().expect("the CPU");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        for name in names() {
            let files = files(Path::new(name)).expect("its files");
            assert!(files.weights.len() <= 4_000_000, "{name}: {} bytes", files.weights.len());
            let checkpoint = Checkpoint::of_files(files, &device).expect(name);
            Learner::of_checkpoint(&checkpoint, Sampling::default()).expect(name);
            let in_folder = Learner::load(&folder.join(name), &device, Sampling::default()).expect(name);
            let embedded = Learner::load(Path::new(name), &device, Sampling::default()).expect(name);
            assert_eq!(in_folder.sampling(), embedded.sampling(), "{name}");
            assert_eq!(
                crate::checkpoint_id(&folder.join(name)).expect("files"),
                crate::checkpoint_id(Path::new(name)).expect("embedded"),
            );
            let card = std::fs::read_to_string(folder.join(name).join("README.md")).expect("a model card");
            for part in ["## Data", "## Results", "## Limits"] {
                assert!(card.contains(part), "{name}: {part}");
            }
        }
        assert!([DEFAULT, FUNCTIONS].iter().all(|name| names().any(|known| known == *name)));
        let functions = Learner::load(Path::new(FUNCTIONS), &device, Sampling::default()).expect("functions");
        assert!(functions.writes_constants());
    }
}
