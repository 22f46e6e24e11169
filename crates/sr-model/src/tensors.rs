//! Weights as safetensors, a JSON header and plain numbers: smaller than a training checkpoint's, which keeps f32 and the
//! ids of parameters, and read by other tools.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

use crate::Model;

/// The tensors of a file.
pub(crate) struct Tensors<'a>(SafeTensors<'a>);

impl<'a> Tensors<'a> {
    /// Reads the header of a file.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        SafeTensors::deserialize(bytes).map(Tensors).map_err(|error| format!("not safetensors: {error}"))
    }

    /// Returns whether there is a tensor of this name.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.tensor(name).is_ok()
    }

    /// Returns a tensor of this shape, row-major; 16-bit numbers become f32.
    pub(crate) fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        let tensor = self.0.tensor(name).map_err(|_| format!("no tensor `{name}`"))?;
        if tensor.shape() != shape {
            return Err(format!("`{name}` has the shape {:?}, by config.json it is {shape:?}", tensor.shape()));
        }
        let dtype = match tensor.dtype() {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(format!("`{name}` has numbers of type {other:?}, expected F32, F16 or BF16")),
        };
        let data = TensorData::from_bytes_vec(tensor.data().to_vec(), shape, dtype);
        data.convert::<f32>().try_into_vec().map_err(|error| format!("`{name}`: {error:?}"))
    }
}

/// The path of the current module in a walk, which makes a parameter's name.
#[derive(Default)]
struct Path(Vec<String>);

impl Path {
    fn name(&self) -> String {
        self.0.join(".")
    }
}

/// Returns all parameters of a model as a file of bf16 numbers, each rounded to the nearest.
pub(crate) fn to_bf16(model: &Model) -> Vec<u8> {
    #[derive(Default)]
    struct Collect {
        path: Path,
        tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let data = param.val().without_autodiff().into_data().convert_dtype(DType::BF16);
            self.tensors.insert(self.path.name(), (param.val().dims().to_vec(), data.as_bytes().to_vec()));
        }
    }
    let mut all = Collect::default();
    model.visit(&mut all);
    let views: Vec<(String, TensorView<'_>)> = all
        .tensors
        .iter()
        .map(|(name, (shape, bytes))| {
            (name.clone(), TensorView::new(Dtype::BF16, shape.clone(), bytes).expect("two bytes a number"))
        })
        .collect();
    serialize(views, None).expect("a header of some kilobytes")
}

/// Fills a model with the parameters of a file that [`to_bf16`] wrote.
///
/// # Errors
/// Returns the reason if the file is damaged, or a parameter is missing or has another shape.
pub(crate) fn fill(frame: Model, bytes: &[u8], device: &Device) -> Result<Model, String> {
    struct Fill<'a> {
        path: Path,
        tensors: Tensors<'a>,
        device: &'a Device,
        failure: Option<String>,
    }
    impl ModuleMapper for Fill<'_> {
        fn enter_module(&mut self, name: &str, _: &str) {
            self.path.0.push(name.to_owned());
        }
        fn exit_module(&mut self, _: &str, _: &str) {
            self.path.0.pop();
        }
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            let shape = param.val().dims();
            match self.tensors.get(&self.path.name(), &shape) {
                Ok(values) => Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device)),
                Err(reason) => {
                    self.failure.get_or_insert(reason);
                    param
                }
            }
        }
    }
    let mut fill = Fill { path: Path::default(), tensors: Tensors::new(bytes)?, device, failure: None };
    let model = frame.map(&mut fill);
    fill.failure.map_or(Ok(model), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceKind, ModelConfig};

    #[test]
    fn sixteen_bit_numbers_are_read_and_damage_is_named() {
        let header = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[1],"data_offsets":[4,6]},"c":{"dtype":"I64","shape":[1],"data_offsets":[6,14]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        bytes.extend([0x80, 0x3f, 0x20, 0xc0, 0x00, 0x3e, 0, 0, 0, 0, 0, 0, 0, 0]);
        let tensors = Tensors::new(&bytes).unwrap();
        assert_eq!(tensors.get("a", &[2]).unwrap(), [1.0, -2.5]);
        assert_eq!(tensors.get("b", &[1]).unwrap(), [1.5]);
        let message = |name, shape: &[usize]| tensors.get(name, shape).unwrap_err();
        assert_eq!(message("a", &[1, 2]), "`a` has the shape [2], by config.json it is [1, 2]");
        assert_eq!(message("c", &[1]), "`c` has numbers of type I64, expected F32, F16 or BF16");
        assert_eq!(message("e", &[1]), "no tensor `e`");
        assert!(tensors.contains("b") && !tensors.contains("e"));
        for length in [0, 7, 8, 60, bytes.len() - 1] {
            let error = Tensors::new(&bytes[..length]).err().unwrap();
            assert!(error.starts_with("not safetensors: "), "{error}");
        }
    }

    #[test]
    fn a_model_is_filled_with_its_rounded_weights() {
        let device = DeviceKind::Cpu.open().unwrap();
        let config =
            ModelConfig { d_model: 16, n_heads: 2, n_layers: 2, d_mlp: 24, n_positions: 32, ..ModelConfig::micro(20) };
        let model = Model::new(&config, 5, &device).unwrap();
        let bytes = to_bf16(&model);
        assert_eq!(bytes, to_bf16(&model), "the same bytes each time");
        let filled = fill(Model::frame(&config, &device).unwrap(), &bytes, &device).unwrap();
        assert_eq!(to_bf16(&filled), bytes, "bf16 numbers stay what they are");
        let other = ModelConfig { d_mlp: 25, ..config };
        let error = fill(Model::frame(&other, &device).unwrap(), &bytes, &device).err().unwrap();
        assert!(error.contains("has the shape [16, 24]") && error.contains("[16, 25]"), "{error}");
    }
}
