//! The model keeps what every shared store promises.

mod remote_rig;

use forebay_contract::remote::model::ModelStore;
use remote_rig::Model;

fn model() -> Model<ModelStore> {
    Model::new(3, |store| store)
}

forebay_contract::remote!(model);
