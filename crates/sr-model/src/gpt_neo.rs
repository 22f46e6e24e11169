//! GPT-Neo weights (Black et al., 2021) in the format of the `transformers` library.
//!
//! Tensors are read one by one into their parameters. burn's own importer would need as many renaming rules, an adapter
//! that transposes the matrices of [`Model`] and not only those of burn's `Linear`, and another feature of burn.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Device, Tensor, TensorData},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    Activation, Attention, Error, Model, ModelConfig, Population,
    checkpoint::{CONFIG, corrupt, frame, io, parse},
    config::MAX_SIZE,
    tensors::Tensors,
};

const WEIGHTS: &str = "model.safetensors";
/// The file that maps tensors to several files.
const INDEX: &str = "model.safetensors.index.json";

/// Returns whether the folder's `config.json` has a `model_type`, as models of `transformers` have.
pub fn is_gpt_neo(dir: &Path) -> bool {
    let config = parse::<serde_json::Value>(&dir.join(CONFIG));
    config.is_ok_and(|config| config["model_type"].is_string())
}

/// Returns the id of a GPT-Neo model: a hash of its configuration and weights, in hexadecimal.
///
/// # Errors
/// [`Error::Io`], naming a file that is missing or unreadable.
pub fn gpt_neo_id(dir: &Path) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for path in std::iter::once(dir.join(CONFIG)).chain(files(dir)?) {
        hash.update(fs::read(&path).map_err(io(&path))?);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Reads a GPT-Neo model from a folder that `save_pretrained` of `transformers` wrote: `config.json`, and
/// `model.safetensors` or several files of tensors with `model.safetensors.index.json`.
///
/// The model reads tokens only. It keeps GPT-Neo's arithmetic: scores without 1/√d, alternating global and local
/// attention, tied head. 16-bit weights become f32.
///
/// # Errors
/// [`Error::Io`] if a file is missing or unreadable; [`Error::Corrupt`], naming the file, if it describes another kind
/// of model, or a tensor is missing or has another shape than `config.json` says.
pub fn load_gpt_neo(dir: &Path, device: &Device) -> Result<Model, Error> {
    let path = dir.join(CONFIG);
    let config = parse::<GptNeoConfig>(&path)?.resolve().map_err(|reason| corrupt(&path, &reason))?;
    config.validate().map_err(|error| corrupt(&path, &error))?;
    let files = files(dir)?;
    let bytes: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).map_err(io(path))).collect::<Result<_, _>>()?;
    let size = bytes.iter().map(Vec::len).sum();
    let frame = frame(&config, size, device).map_err(|error| corrupt(&path, &error))?;
    let tensors = files.iter().zip(&bytes).map(|(path, bytes)| Tensors::new(bytes).map_err(|e| corrupt(path, &e)));
    let mut fill = Fill { tensors: tensors.collect::<Result<_, _>>()?, device, path: Vec::new(), failure: None };
    let model = frame.map(&mut fill);
    match fill.failure {
        Some((file, reason)) => Err(corrupt(&files[file], &reason)),
        None => Ok(model),
    }
}

/// Returns the files of tensors.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let (whole, index) = (dir.join(WEIGHTS), dir.join(INDEX));
    if !whole.exists() && index.exists() {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let names: BTreeSet<String> = parse::<Index>(&index)?.weight_map.into_values().collect();
        let is_plain = |name: &String| Path::new(name).file_name().is_some_and(|file| file == name.as_str());
        return match names.iter().find(|name| !is_plain(name)) {
            Some(name) => Err(corrupt(&index, &format!("`{name}` is no file of this folder"))),
            None if names.is_empty() => Err(corrupt(&index, &"no file of tensors")),
            None => Ok(names.iter().map(|name| dir.join(name)).collect()),
        };
    }
    let pickled = dir.join("pytorch_model.bin");
    if !whole.exists() && pickled.exists() {
        let reason =
            "pickled weights are not read; save them as safetensors (`save_pretrained(…, safe_serialization=True)`)";
        return Err(corrupt(&pickled, &reason));
    }
    Ok(vec![whole])
}

/// The result of [`take_backbone`]: which parameters were copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Names of the parameters that were copied.
    pub imported: Vec<String>,
    /// Names of the parameters that keep their own values: embeddings of tokens, features, marks and points, which mean
    /// something else in the other model.
    pub kept: Vec<String>,
}

/// Copies the blocks, the last norm and the position embeddings of `from` to `model`. Both must have the same shape,
/// except for the vocabulary and the inputs beside tokens. If `from` has more positions, the first ones are copied.
///
/// # Errors
/// [`Error::Config`], naming the first size or setting that differs, with both values.
pub fn take_backbone(model: Model, from: &Model) -> Result<(Model, Imported), Error> {
    let (ours, theirs) = (model.config(), from.config());
    let sizes = |config: &ModelConfig| {
        [
            ("d_model", config.d_model.to_string()),
            ("n_layers", config.n_layers.to_string()),
            ("n_heads", config.n_heads.to_string()),
            ("d_mlp", config.d_mlp.to_string()),
            ("activation", name(&config.activation)),
            ("attention_scale", config.attention_scale.map_or("none".to_owned(), |scale| scale.to_string())),
        ]
    };
    for ((key, ours), (_, theirs)) in sizes(ours).into_iter().zip(sizes(theirs)) {
        if ours != theirs {
            return Err(Error::Config(format!("{key} is {ours}, that of the weights to begin with {theirs}")));
        }
    }
    if theirs.n_positions < ours.n_positions {
        let (ours, theirs) = (ours.n_positions, theirs.n_positions);
        return Err(Error::Config(format!("n_positions is {ours}, the weights to begin with have {theirs}")));
    }
    let mut source = Named::default();
    from.visit(&mut source);
    let mut take = Take { from: source.values, path: Vec::new(), taken: Imported { imported: vec![], kept: vec![] } };
    let model = model.map(&mut take);
    Ok((model, take.taken))
}

/// Returns the name in configurations.
fn name(activation: &Activation) -> String {
    serde_json::to_value(activation).expect("a name").as_str().unwrap_or_default().to_owned()
}

/// All parameters by name.
#[derive(Default)]
struct Named {
    path: Vec<String>,
    values: HashMap<String, Vec<f32>>,
}

impl ModuleVisitor for Named {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().without_autodiff().into_data().convert::<f32>().try_into_vec();
        self.values.insert(self.path.join("."), values.expect("f32"));
    }
}

struct Take {
    from: HashMap<String, Vec<f32>>,
    path: Vec<String>,
    taken: Imported,
}

impl ModuleMapper for Take {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.join(".");
        let is_backbone = matches!(&*self.path[0], "blocks" | "final_norm" | "position_embedding");
        let Some(mut values) = self.from.remove(&name).filter(|_| is_backbone) else {
            self.taken.kept.push(name);
            return param;
        };
        self.taken.imported.push(name);
        let (shape, device) = (param.val().dims(), param.val().device());
        values.truncate(shape.iter().product());
        let mut taken = Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &device));
        taken.id = param.id;
        taken
    }
}

/// The keys of a GPT-Neo `config.json` that matter. Other keys (dropout, ids of special tokens, generation settings) do
/// not change the forward pass.
#[derive(Debug, Deserialize)]
struct GptNeoConfig {
    model_type: String,
    vocab_size: usize,
    max_position_embeddings: usize,
    hidden_size: usize,
    num_layers: usize,
    num_heads: usize,
    /// The hidden width of MLPs; `None` for four times `hidden_size`.
    intermediate_size: Option<usize>,
    window_size: usize,
    /// `[[["global", "local"], 12]]`: the kinds of some blocks, and how often they are repeated.
    attention_types: Vec<(Vec<Attention>, usize)>,
    activation_function: String,
    layer_norm_epsilon: f64,
    tie_word_embeddings: Option<bool>,
}

impl GptNeoConfig {
    fn resolve(self) -> Result<ModelConfig, String> {
        if self.model_type != "gpt_neo" {
            return Err(format!("model_type is `{}`, expected `gpt_neo`", self.model_type));
        }
        if self.tie_word_embeddings == Some(false) {
            return Err("tie_word_embeddings is false, only models with a tied head can be read".to_owned());
        }
        let activation = match &*self.activation_function {
            "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluNew,
            "gelu" => Activation::Gelu,
            other => return Err(format!("activation_function is `{other}`, expected `gelu_new` or `gelu`")),
        };
        let blocks = self.attention_types.iter().map(|(kinds, times)| kinds.len().saturating_mul(*times));
        let blocks = blocks.fold(0, usize::saturating_add);
        if blocks > MAX_SIZE {
            return Err(format!("attention_types describes {blocks} blocks, expected at most {MAX_SIZE}"));
        }
        if blocks != self.num_layers {
            return Err(format!("attention_types describes {blocks} blocks, num_layers {}", self.num_layers));
        }
        Ok(ModelConfig {
            n_positions: self.max_position_embeddings,
            d_model: self.hidden_size,
            n_layers: self.num_layers,
            n_heads: self.num_heads,
            d_mlp: self.intermediate_size.unwrap_or(self.hidden_size.saturating_mul(4)),
            points: None,
            population: Population::Text,
            attention_window: Some(self.window_size),
            attention_layers: self.attention_types.iter().flat_map(|(kinds, times)| kinds.repeat(*times)).collect(),
            activation,
            layer_norm_eps: self.layer_norm_epsilon,
            ..ModelConfig::tiny(self.vocab_size)
        })
    }
}

/// Copies tensors to the parameters of a model, and remembers the first that does not fit.
struct Fill<'a> {
    /// The tensors of each file.
    tensors: Vec<Tensors<'a>>,
    device: &'a Device,
    /// The path of the current module.
    path: Vec<String>,
    /// The index of the file, and its fault.
    failure: Option<(usize, String)>,
}

impl ModuleMapper for Fill<'_> {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = name_in_gpt_neo(&self.path);
        // `transformers` stores matrices of `Linear` as [out, in]; here they are [in, out].
        let linear = D == 2 && self.path.last().is_some_and(|last| last == "weight");
        let mut shape = param.val().dims();
        if linear {
            shape.reverse();
        }
        // The base model alone is saved without the prefix.
        let names = [format!("transformer.{name}"), name];
        let found = (0..self.tensors.len()).flat_map(|file| names.iter().map(move |name| (file, name)));
        let found = found.into_iter().find(|&(file, name)| self.tensors[file].contains(name));
        let (file, name) = found.unwrap_or((0, &names[0]));
        match self.tensors[file].get(name, &shape) {
            Ok(values) => {
                let values =
                    TensorData::new(if linear { transpose(&values, shape[1]) } else { values }, param.val().shape());
                let mut filled = Param::from_tensor(Tensor::from_data(values, self.device));
                filled.id = param.id;
                filled
            }
            Err(reason) => {
                self.failure.get_or_insert((file, reason));
                param
            }
        }
    }
}

/// Returns the name in `transformers` of a parameter of [`Model`], without the leading `transformer.`.
fn name_in_gpt_neo(path: &[String]) -> String {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let part = |name: &str| match name {
        "attention_norm" => "ln_1",
        "query" => "attn.attention.q_proj",
        "key" => "attn.attention.k_proj",
        "value" => "attn.attention.v_proj",
        "out" => "attn.attention.out_proj",
        "mlp_norm" => "ln_2",
        "up" => "mlp.c_fc",
        "down" => "mlp.c_proj",
        other => unreachable!("a block has no part `{other}`"),
    };
    let kind = |name: &str| match name {
        "weight" | "gamma" => "weight",
        "bias" | "beta" => "bias",
        other => unreachable!("no part has a parameter `{other}`"),
    };
    match path[..] {
        ["token_embedding"] => "wte.weight".to_owned(),
        ["position_embedding"] => "wpe.weight".to_owned(),
        ["final_norm", name] => format!("ln_f.{}", kind(name)),
        ["blocks", block, of, name] => format!("h.{block}.{}.{}", part(of), kind(name)),
        _ => unreachable!("a model that reads tokens only has no parameter {path:?}"),
    }
}

/// Transposes `[rows, columns]` to `[columns, rows]`.
fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| values[column..].iter().step_by(columns)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_of_other_models_are_refused() {
        let good = serde_json::json!({
            "model_type": "gpt_neo", "vocab_size": 8, "max_position_embeddings": 16, "hidden_size": 12, "num_layers": 5,
            "num_heads": 3, "intermediate_size": null, "window_size": 4,
            "attention_types": [[["global", "local"], 2], [["local"], 1]],
            "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "resid_dropout": 0.0,
        });
        let resolve = |key: &str, value: serde_json::Value| {
            let mut config = good.clone();
            config[key] = value;
            serde_json::from_value::<GptNeoConfig>(config).unwrap().resolve()
        };
        let config = resolve("bos_token_id", 3.into()).unwrap();
        use Attention::{Global, Local};
        assert_eq!(config.attention_layers, [Global, Local, Global, Local, Local]);
        assert_eq!((config.d_mlp, config.attention_scale, config.attention_window), (48, None, Some(4)));
        config.validate().unwrap();
        let message = |key, value| resolve(key, value).unwrap_err();
        assert_eq!(message("model_type", "gpt2".into()), "model_type is `gpt2`, expected `gpt_neo`");
        assert_eq!(message("num_layers", 6.into()), "attention_types describes 5 blocks, num_layers 6");
        assert_eq!(
            message("activation_function", "relu".into()),
            "activation_function is `relu`, expected `gelu_new` or `gelu`"
        );
        assert!(message("tie_word_embeddings", false.into()).starts_with("tie_word_embeddings is false"));
    }
}
