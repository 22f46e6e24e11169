//! The learner as a policy.

use std::path::Path;

use burn::tensor::Device;
use sr_engine::random::Purpose;
use sr_engine::{Brood, Expert, Offspring, Origin, Policy, State, heritage};
use sr_model::{Checkpoint, DecodeRequest, Decoder, Free, Prompt, Sample};
use sr_prompt::{Condition, Context, Token};

use crate::{Error, InputWriter};

/// The mode that a checkpoint for one-step proposals states in its `meta.json`.
const MODE: &str = "one-step";

/// How children are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token. 0.8 as in the original.
    pub temperature: f64,
    /// Only this many likeliest tokens, `None` for all.
    pub top_k: Option<usize>,
    /// Only the fewest tokens that hold this much probability, `None` for all.
    pub top_p: Option<f64>,
    /// Most nodes of a child; it may be larger than what the expert makes.
    pub max_child_size: usize,
    /// Positions in one model call; larger batches are split, with the same results.
    pub max_batch_tokens: usize,
}

impl Default for Sampling {
    fn default() -> Self {
        Sampling { temperature: 0.8, top_k: None, top_p: None, max_child_size: 63, max_batch_tokens: 32_768 }
    }
}

/// Names a checkpoint by its contents: 64 bits of its configuration and weights, in hexadecimal.
///
/// # Errors
/// If one of the files cannot be read.
pub fn checkpoint_id(dir: &Path) -> std::io::Result<String> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325; // FNV-1a
    for name in ["config.json", "model.bpk"] {
        for byte in std::fs::read(dir.join(name))? {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    Ok(format!("{hash:016x}"))
}

/// A transformer that proposes the next generation: all children of all states in one batch.
///
/// A child that is not exactly one expression of the problem's primitives, at most `max_child_size` nodes large, is
/// replaced by the expert's child of the same slot, with [`Origin::Fallback`]. Parents of the others are found by
/// [`heritage`].
#[derive(Debug, Clone)]
pub struct Learner {
    decoder: Decoder,
    inputs: InputWriter,
    sampling: Sampling,
    error: Option<std::sync::Arc<Error>>,
}

impl Learner {
    /// Loads a checkpoint folder.
    ///
    /// # Errors
    /// If it cannot be read, has another vocabulary, or was trained for another mode or an unknown context.
    pub fn load(dir: &Path, device: &Device, sampling: Sampling) -> Result<Self, Error> {
        let checkpoint = Checkpoint::load(dir, device)?;
        sr_prompt::check_tokenizer(&checkpoint.tokenizer)?;
        let found = checkpoint.meta["mode"].as_str().unwrap_or("unknown");
        if found != MODE {
            return Err(Error::Mode { expected: MODE.into(), found: found.into() });
        }
        // Checkpoints from before there was another one do not tell.
        let found = checkpoint.meta["context"].as_str().unwrap_or("basic");
        let context = Context::from_name(found).ok_or_else(|| Error::Context { found: found.into() })?;
        Ok(Learner::new(Decoder::new(&checkpoint.model), context, sampling))
    }

    /// From a model in memory, trained on prompts of `context`.
    pub fn new(decoder: Decoder, context: Context, sampling: Sampling) -> Self {
        let inputs = InputWriter::new(decoder.model().config(), context);
        Learner { decoder, inputs, sampling, error: None }
    }

    /// The first error of a proposal. From then on every child is the expert's, so whoever runs a search asks here
    /// before using its result.
    pub fn error(&self) -> Option<&Error> {
        self.error.as_deref()
    }

    fn samples(&self, states: &[State<'_>], wanted: &[usize]) -> Result<Vec<Vec<Sample>>, Error> {
        let prompts: Vec<Prompt> = states.iter().map(|state| self.inputs.state(state)).collect::<Result<_, _>>()?;
        let start = Token::Condition(Condition::All).id();
        let request = DecodeRequest {
            max_new_tokens: self.sampling.max_child_size + 1,
            temperature: self.sampling.temperature,
            top_k: self.sampling.top_k,
            top_p: self.sampling.top_p,
            max_batch_tokens: self.sampling.max_batch_tokens,
            feature: sr_prompt::target_feature,
            ..DecodeRequest::new(&prompts, wanted, start, Token::Eos.id())
        };
        // One stream a child, one block of it a token: no draw depends on what else is in the batch.
        let uniform = |state: usize, sibling: usize, step: usize| {
            let key = states[state].key;
            let key = sr_engine::random::Key { purpose: Purpose::Learner, ..key };
            key.slot(sibling as u32).draw(key.draw << 16 | step as u32).rng().unit()
        };
        Ok(self.decoder.decode(&request, &uniform, &Free)?)
    }

    fn child(&self, state: &State<'_>, slot: usize, sample: &Sample, brood: &mut Brood) {
        let decoded = sample
            .finished
            .then(|| sr_prompt::decode(&sample.tokens, state.instance.primitives(), self.sampling.max_child_size).ok());
        match decoded.flatten() {
            Some(expr) => {
                let parents = heritage(&expr, state.population);
                let (origin, log_prob) = (Origin::Learner, Some(sample.log_prob));
                brood.push(&Offspring { tree: &expr, origin, parents, edit: None, log_prob });
            }
            None => fallback(state, slot, brood),
        }
    }
}

fn fallback(state: &State<'_>, slot: usize, brood: &mut Brood) {
    Expert::child(state, slot, brood);
    brood.set_last_origin(Origin::Fallback);
}

impl Policy for Learner {
    fn propose(&mut self, states: &[State<'_>], wanted: &[usize], broods: &mut [Brood]) {
        let samples = match &self.error {
            Some(_) => None,
            None => self.samples(states, wanted).map_err(|error| self.error = Some(error.into())).ok(),
        };
        for (index, (state, brood)) in states.iter().zip(broods).enumerate() {
            for slot in 0..wanted[index] {
                match &samples {
                    Some(samples) => self.child(state, slot, &samples[index][slot], brood),
                    None => fallback(state, slot, brood),
                }
            }
        }
    }
}
