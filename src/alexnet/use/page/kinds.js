/** What each kind of layer does, in a sentence or two for someone who has never met one. `sign`: "both" where numbers can
 * be below zero, "one" where they cannot; else as in the layer before. */

export const kinds = {
  Conv: {
    title: "convolution",
    sign: "both",
    text:
      "Each map belongs to one small pattern that the network has learnt. It is slid over everything that " +
      "came before, and the map is strong wherever the pattern was found.",
  },
  Local: {
    title: "convolution, untied",
    sign: "both",
    text:
      "Like a convolution, but every place has its own patterns: an eye up here need not look like an eye " +
      "down there.",
  },
  ReLU: {
    title: "rectifier",
    sign: "one",
    text:
      "What speaks for a pattern stays as it is, what speaks against it becomes nothing. So simple that the" +
      " network learns several times faster: one of the discoveries of 2012.",
  },
  Tanh: {
    title: "hyperbolic tangent",
    sign: "both",
    text: "Squeezes every number between −1 and 1. It was the usual way before rectifiers.",
  },
  Sigmoid: {
    title: "sigmoid function",
    sign: "one",
    text: "Squeezes every number between 0 and 1. It was the usual way before rectifiers.",
  },
  ResponseNorm: {
    title: "response normalisation",
    text: "Maps compete: one that shouts makes its neighbours at the same place quieter, as neurons in the eye do.",
  },
  BatchNorm: {
    title: "batch normalisation",
    sign: "both",
    text:
      "Brings every map to the same loudness, so that the layers behind can rely on it. Three years younger" +
      " than AlexNet.",
  },
  MaxPool: {
    title: "pooling",
    text:
      "Of each little neighbourhood only the strongest answer goes on. The maps become smaller, and it no " +
      "longer matters exactly where a pattern was.",
  },
  AveragePool: {
    title: "pooling by averages",
    text: "Each little neighbourhood becomes one number, its average. The maps become smaller.",
  },
  AdaptivePool: {
    title: "pooling to a fixed size",
    text: "Brings maps of any size to the one that the layers behind are made for.",
  },
  Dropout: {
    title: "dropout",
    text:
      "While the network was learning, a coin was tossed here for every number, and half of them were " +
      "silenced, so that none could rely on another. Now that it has learnt, all may speak.",
  },
  Linear: {
    title: "fully connected",
    sign: "both",
    text:
      "Every number here listens to all the numbers before it. Where things were is forgotten; what they " +
      "were remains. The last such layer has one number for every name.",
  },
  ZeroLogit: {
    title: "one output made two",
    sign: "both",
    text: "Sets a zero beside the only output, so that one number decides between two names.",
  },
  other: { title: "layer", text: "Turns what it is given into what you see." },
};
