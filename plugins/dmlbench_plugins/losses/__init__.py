"""The built-in losses and regularisers, as data: no torch here."""

from collections.abc import Iterator

from dmlbench.api import LossPlugin


def offered() -> Iterator[LossPlugin]:
    yield LossPlugin(
        id="contrastive",
        target=f"{__name__}.contrastive:contrastive",
        summary="Pulls pairs of one class together, pushes others apart up to a margin.",
        reference="Hadsell, Chopra, LeCun, CVPR 2006",
    )
    yield LossPlugin(
        id="triplet",
        target=f"{__name__}.triplet:triplet",
        summary="Hinge on squared distances of mined triplets.",
        reference="Schroff, Kalenichenko, Philbin, CVPR 2015, arXiv 1503.03832",
    )
    yield LossPlugin(
        id="multi-similarity",
        target=f"{__name__}.multi_similarity:multi_similarity",
        summary="Soft weights from self, positive and negative relative similarity, with pair mining.",
        reference="Wang et al., CVPR 2019, arXiv 1904.06627",
    )
    yield LossPlugin(
        id="triplet-soft-margin",
        target=f"{__name__}.triplet_soft_margin:triplet_soft_margin",
        summary="A hinge that never closes, on distances or similarities of mined triplets.",
        reference="Hermans, Beyer, Leibe 2017, arXiv 1703.07737",
    )
    yield LossPlugin(
        id="binomial-deviance",
        target=f"{__name__}.binomial_deviance:binomial_deviance",
        summary="A logistic cost of every pair by itself.",
        reference="Yi, Lei, Liao, Li, ICPR 2014, arXiv 1407.4979",
    )
    yield LossPlugin(
        id="lifted-structure",
        target=f"{__name__}.lifted_structure:lifted_structure",
        summary="Each positive pair against all negatives of both its ends; wants raw embeddings.",
        reference="Song et al., CVPR 2016, arXiv 1511.06452",
    )
    yield LossPlugin(
        id="lifted-structure-generalised",
        target=f"{__name__}.lifted_structure:lifted_structure_generalised",
        summary="All positives of an anchor against all its negatives; wants raw embeddings.",
        reference="Hermans, Beyer, Leibe 2017, arXiv 1703.07737",
    )
    yield LossPlugin(
        id="circle",
        target=f"{__name__}.circle:circle",
        summary="Each similarity is weighted by its distance from its own optimum.",
        reference="Sun et al., CVPR 2020, arXiv 2002.10857",
        expected_failures={"gradient/correct": "the paper's weights are held: no gradient goes through them"},
    )
    yield LossPlugin(
        id="supcon",
        target=f"{__name__}.supcon:supcon",
        summary="Mean log-probability of each anchor's positives among all its pairs.",
        reference="Khosla et al., NeurIPS 2020, arXiv 2004.11362",
    )
    yield LossPlugin(
        id="nt-xent",
        target=f"{__name__}.nt_xent:nt_xent",
        summary="Each positive pair against the anchor's negatives, cross-entropy with a temperature.",
        reference="Chen et al., ICML 2020, arXiv 2002.05709",
    )
    yield LossPlugin(
        id="margin",
        target=f"{__name__}.margin:Margin",
        summary="Hinges on distances of mined triplets, around boundaries that may be learned.",
        reference="Wu et al., ICCV 2017, arXiv 1706.07567",
    )
    yield LossPlugin(
        id="margin-pairs",
        target=f"{__name__}.margin:MarginPairs",
        summary="The margin loss of every pair of the batch.",
        reference="Wu et al., ICCV 2017, arXiv 1706.07567",
    )
    yield LossPlugin(
        id="margin-images",
        target=f"{__name__}.margin:MarginImages",
        summary="The margin loss with a learned boundary for each training image.",
        reference="Wu et al., ICCV 2017, arXiv 1706.07567",
    )
    yield LossPlugin(
        id="cbml",
        target=f"{__name__}.cbml:cbml",
        summary="A concave function of each anchor's evidence against it, with pair mining.",
        reference="Kan et al., TPAMI 2023, arXiv 2210.04402",
    )
    yield LossPlugin(
        id="variance-constraint",
        target=f"{__name__}.variance_constraint:variance_constraint",
        role="regulariser",
        summary="Draws an anchor's negative similarities to one value.",
        reference="Kan et al., TPAMI 2023, arXiv 2210.04402",
    )
    yield LossPlugin(
        id="pair-weighting",
        target=f"{__name__}.pair_weighting:pair_weighting",
        summary="A loss as the weights that it gives to pairs: five of them by name.",
        reference="Wang et al., CVPR 2019, arXiv 1904.06627",
        expected_failures={
            "gradient/correct": "the weights are held, so that the gradient is theirs and not the value's"
        },
    )
    yield LossPlugin(
        id="multi-similarity-mined",
        target=f"{__name__}.multi_similarity_mined:multi_similarity_mined",
        summary="Multi-similarity of the pairs that a miner chose.",
        reference="Wang et al., CVPR 2019, arXiv 1904.06627",
    )
    yield LossPlugin(
        id="bspml",
        target=f"{__name__}.bspml:Bspml",
        summary="Multi-similarity with a weight of each image, 0 for those that cost more than an age.",
        reference="Zhang, Luo, Gu, AAAI 2023, arXiv 2211.11751",
        oracle=("last_percentile",),
    )
    yield LossPlugin(
        id="normalised-softmax",
        target=f"{__name__}.normalised_softmax:NormalisedSoftmax",
        summary="Cross-entropy over cosines to one weight vector a class.",
        reference="Zhai, Wu, BMVC 2019, arXiv 1811.12649",
    )
    yield LossPlugin(
        id="cosine-softmax",
        target=f"{__name__}.cosine_softmax:CosineSoftmax",
        summary="Cross-entropy over cosines to one unit row a class, with a learnt scale; rows can be added.",
        reference="Qi, Brown, Lowe, CVPR 2018, arXiv 1712.07136",
    )
    yield LossPlugin(
        id="generalised-cross-entropy",
        target=f"{__name__}.generalised_cross_entropy:GeneralisedCrossEntropy",
        summary="Normalised softmax, bounded so that unlikely labels pull less.",
        reference="Zhang, Sabuncu, NeurIPS 2018, arXiv 1805.07836",
    )
    yield LossPlugin(
        id="proxy-nca",
        target=f"{__name__}.proxy_nca:ProxyNca",
        summary="Neighbourhood component analysis against one learned proxy a class.",
        reference="Movshovitz-Attias et al., ICCV 2017, arXiv 1703.07464",
    )
    yield LossPlugin(
        id="proxy-anchor",
        target=f"{__name__}.proxy_anchor:ProxyAnchor",
        summary="One proxy a class is the anchor that all rows of the batch are compared with.",
        reference="Kim et al., CVPR 2020, arXiv 2003.13911",
    )
    yield LossPlugin(
        id="multi-proxy-anchor",
        target=f"{__name__}.multi_proxy_anchor:MultiProxyAnchor",
        summary="Proxy-Anchor with several proxies a class.",
        reference="Saeki et al., 2021, arXiv 2110.03997",
    )
    yield LossPlugin(
        id="soft-triple",
        target=f"{__name__}.soft_triple:SoftTriple",
        summary="Normalised softmax with several centres a class, which are drawn together.",
        reference="Qian et al., ICCV 2019, arXiv 1909.05235",
    )
    yield LossPlugin(
        id="cosface",
        target=f"{__name__}.cosface:CosFace",
        summary="Normalised softmax with a margin between cosines.",
        reference="Wang et al., CVPR 2018, arXiv 1801.09414",
    )
    yield LossPlugin(
        id="arcface",
        target=f"{__name__}.arcface:ArcFace",
        summary="Normalised softmax with a margin between angles.",
        reference="Deng et al., CVPR 2019, arXiv 1801.07698",
    )
    yield LossPlugin(
        id="n-pair",
        target=f"{__name__}.n_pair:n_pair",
        summary="An anchor of each class against the positives of all classes, by inner products.",
        reference="Sohn, NIPS 2016",
    )
    yield LossPlugin(
        id="norm-penalty",
        target=f"{__name__}.norm_penalty:norm_penalty",
        role="regulariser",
        summary="Mean squared length of the raw embeddings.",
        reference="Sohn, NIPS 2016",
    )
    yield LossPlugin(
        id="center",
        target=f"{__name__}.center:Center",
        role="regulariser",
        summary="Squared distance to class centres that have an objective of their own.",
        reference="Wen et al., ECCV 2016",
    )
    yield LossPlugin(
        id="triplet-euclidean",
        target=f"{__name__}.triplet_euclidean:triplet_euclidean",
        summary="Hinge on distances of mined triplets, without the squares.",
        reference="Sumbul, Ravanbakhsh, Demir, TGRS 2022, arXiv 2105.03647",
    )
    yield LossPlugin(
        id="all-triplets",
        target=f"{__name__}.all_triplets:all_triplets",
        summary="Hinge on distances of every triplet of the batch, by sorting.",
    )
    yield LossPlugin(
        id="multi-label-contrastive",
        target=f"{__name__}.multi_label_contrastive:multi_label_contrastive",
        summary="Supervised contrastive loss in which each label of a picture is an anchor.",
        reference="Zhang, Wu, AAAI 2024",
    )
    yield LossPlugin(
        id="hier",
        target=f"{__name__}.hier:Hier",
        role="regulariser",
        summary="Related points share a lower ancestor, a learned proxy in hyperbolic space.",
        reference="Kim, Jeong, Kwak, CVPR 2023, arXiv 2212.14258",
        expected_failures={
            "gradient/correct": "ancestors are drawn, and their gradient is the straight-through estimate"
        },
    )
    yield LossPlugin(
        id="proximal",
        target=f"{__name__}.proximal:Proximal",
        role="regulariser",
        summary="Squared distance of the weights to those at the start of the sampler's outer step.",
        reference="Can, Gurbuz, Alatan, ICIP 2021, arXiv 1907.07585",
    )
    yield LossPlugin(
        id="softmax",
        target=f"{__name__}.softmax:Softmax",
        summary="Cross-entropy of a linear classifier of the embeddings.",
    )
    yield LossPlugin(
        id="softmax-features",
        target=f"{__name__}.softmax:SoftmaxFeatures",
        summary="Cross-entropy of a linear classifier of the backbone's features.",
    )
    yield LossPlugin(
        id="loss-ensemble",
        target=f"{__name__}.loss_ensemble:LossEnsemble",
        role="combiner",
        summary="Learned weights of losses that are scaled by their means, and one embedding of their heads.",
        reference="Zabihzadeh, Alitbi, Mousavirad, MTAP 2023, arXiv 2107.01130",
    )
    yield LossPlugin(
        id="gaussian-structure",
        target=f"{__name__}.gaussian_structure:gaussian_structure",
        summary="Every class an isotropic Gaussian of one width around its batch mean; wants raw rows.",
        reference="Marrero Fernandez et al., 2020, arXiv 2001.06612",
    )
    yield LossPlugin(
        id="gaussian-subclasses",
        target=f"{__name__}.gaussian_subclasses:GaussianSubclasses",
        role="listener",
        summary="Relabels images with sub-classes that Gaussian mixtures find in their classes.",
        reference="Marrero Fernandez et al., 2020, arXiv 2001.06612",
    )
    yield LossPlugin(
        id="frobenius-norm",
        target=f"{__name__}.frobenius_norm:frobenius_norm",
        role="regulariser",
        summary="Frobenius norm of the raw embeddings of the batch.",
        reference="Marrero Fernandez et al., 2019, arXiv 1902.03284",
    )
    yield LossPlugin(
        id="softmax-first-labels",
        target=f"{__name__}.softmax:Softmax",
        summary="Cross-entropy of a linear classifier into the classes as first labelled.",
        reads={"labels": "first_labels"},
    )
    yield LossPlugin(
        id="multi-similarity-signed",
        target=f"{__name__}.multi_similarity_signed:multi_similarity_signed",
        summary="Multi-similarity of all pairs; its negative margin may have the other sign.",
        reference="Ebrahimpour, Qian, Beach, WACV 2022, arXiv 2112.14327",
    )
    yield LossPlugin(
        id="rkd-distance",
        target=f"{__name__}.rkd:rkd_distance",
        summary="Distances between rows, over their mean, as a teacher has them; reads no labels.",
        reference="Park, Kim, Lu, Cho, CVPR 2019, arXiv 1904.05068",
    )
    yield LossPlugin(
        id="rkd-angle",
        target=f"{__name__}.rkd:rkd_angle",
        summary="Angles between three rows as a teacher has them; reads no labels.",
        reference="Park, Kim, Lu, Cho, CVPR 2019, arXiv 1904.05068",
    )
    yield LossPlugin(
        id="feature-matching",
        target=f"{__name__}.feature_matching:FeatureMatching",
        summary="A learned linear map of the embedding is the teacher's embedding; reads no labels.",
        reference="Romero et al., ICLR 2015, arXiv 1412.6550",
    )
    yield LossPlugin(
        id="mathm",
        target=f"{__name__}.mathm:mathm",
        summary="Hardest triplets within a domain, across domains and of both, kept in balance.",
        reference="Huang et al. 2021, arXiv 2112.07966",
        expected_failures={
            "gradient/correct": "the weights of the three parts are held: no gradient goes through them"
        },
    )
    yield LossPlugin(
        id="mathm-hinges",
        target=f"{__name__}.mathm:mathm_hinges",
        summary="The hardest triplets of `mathm` as plain hinges, one kind or all.",
        reference="Huang et al. 2021, arXiv 2112.07966",
    )
    yield LossPlugin(
        id="softmax-unbiased",
        target=f"{__name__}.softmax_unbiased:SoftmaxUnbiased",
        summary="Cross-entropy of a linear classifier without a bias.",
    )
