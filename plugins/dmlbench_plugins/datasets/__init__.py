"""The built-in data sets, as data: no torch here."""

from collections.abc import Iterator

from dmlbench.api import DatasetPlugin


def offered() -> Iterator[DatasetPlugin]:
    yield DatasetPlugin(
        id="emoji",
        target=f"{__name__}.emoji:Emoji",
        extra="emoji",
        summary="Emoji, each drawn by three hands.",
        licence="CC-BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji), OFL 1.1 (Noto Emoji)",
        attribution="Twemoji by Twitter and contributors; OpenMoji, openmoji.org; Noto Emoji by Google",
    )
    yield DatasetPlugin(
        id="folder",
        target=f"{__name__}.folder:Folder",
        summary="Pictures of one's own in class folders.",
        licence="the user's",
        attribution="the user's",
    )
    yield DatasetPlugin(
        id="csv",
        target=f"{__name__}.csv_list:CsvList",
        summary="Pictures of one's own, listed in a CSV file.",
        licence="the user's",
        attribution="the user's",
    )
    yield DatasetPlugin(
        id="npz",
        target=f"{__name__}.npz_arrays:NpzArrays",
        summary="Pictures of one's own as arrays in an .npz file.",
        licence="the user's",
        attribution="the user's",
    )
    yield DatasetPlugin(
        id="emoji-tags",
        target=f"{__name__}.emoji_tags:EmojiTags",
        extra="emoji",
        summary="Emoji with tags, each drawn by three hands.",
        licence="CC-BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji), OFL 1.1 (Noto Emoji); tags: MIT and ISC",
        attribution="Twemoji by Twitter and contributors; OpenMoji, openmoji.org; Noto Emoji by Google; "
        "keywords by emojilib, Mu-An Chiou, through em-keyboard",
    )
    yield DatasetPlugin(
        id="emoji-faces",
        target=f"{__name__}.emoji_faces:EmojiFaces",
        extra="emoji",
        summary="129 emoji faces in 14 expressions, each drawn by three hands.",
        licence="CC-BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji), OFL 1.1 (Noto Emoji)",
        attribution="Twemoji by Twitter and contributors; OpenMoji, openmoji.org; Noto Emoji by Google",
    )
    yield DatasetPlugin(
        id="emoji-line-colour",
        target=f"{__name__}.emoji_line_colour:EmojiLineColour",
        extra="emoji",
        summary="Emoji as line drawings by one hand and in colour by two others.",
        licence="CC-BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji), OFL 1.1 (Noto Emoji)",
        attribution="Twemoji by Twitter and contributors; OpenMoji, openmoji.org; Noto Emoji by Google",
    )
    yield DatasetPlugin(
        id="glyphs",
        target=f"{__name__}.glyphs:Glyphs",
        extra="glyphs",
        summary="Latin, Greek and Cyrillic letters and digits in 38 typefaces.",
        licence="OFL 1.1; DejaVu: Bitstream Vera's and Arev's",
        attribution="Inter, JetBrains Mono, Noto, Source Serif; DejaVu by Bitstream and others; STIX",
    )
    yield DatasetPlugin(
        id="omniglot",
        target=f"{__name__}.omniglot:Omniglot",
        summary="1,623 handwritten characters of 50 alphabets, 20 drawers each.",
        licence="MIT",
        attribution="Lake, Salakhutdinov, Tenenbaum, Science 2015",
        reference="Lake, Salakhutdinov, Tenenbaum, Science 2015",
    )
    yield DatasetPlugin(
        id="grocery",
        target=f"{__name__}.grocery:GroceryStore",
        summary="5,421 phone photos of 81 kinds of fruit, vegetables and packages in grocery stores.",
        licence="MIT",
        attribution="Klasson, Zhang, Kjellström, WACV 2019",
        reference="Klasson, Zhang, Kjellström, WACV 2019, arXiv 1901.00711",
    )
    yield DatasetPlugin(
        id="uc-merced-multilabel",
        target=f"{__name__}.uc_merced_multilabel:UcMercedMultilabel",
        summary="The pictures of `uc-merced` with 17 labels.",
        licence="pictures: public domain (USGS); labels: as their authors publish them",
        attribution="Yang, Newsam, ACM GIS 2010; labels: Chaudhuri, Demir, Chaudhuri, Bruzzone, TGRS 2018",
        reference="Chaudhuri, Demir, Chaudhuri, Bruzzone, TGRS 2018",
    )
    yield DatasetPlugin(
        id="bigearthnet",
        target=f"{__name__}.bigearthnet:BigEarthNet",
        summary="590,326 patches of Sentinel-2 in ten bands, with 19 or 43 labels of land cover.",
        licence="CDLA-Permissive-1.0",
        attribution="Sumbul, Charfuelan, Demir, Markl, IGARSS 2019",
        reference="Sumbul, Charfuelan, Demir, Markl, IGARSS 2019, arXiv 1902.06148",
    )
    yield DatasetPlugin(
        id="grocery-tags",
        target=f"{__name__}.grocery_tags:GroceryTags",
        summary="The photos of `grocery`, each labelled with its fine and its coarse class.",
        licence="MIT",
        attribution="Klasson, Zhang, Kjellström, WACV 2019",
        reference="Klasson, Zhang, Kjellström, WACV 2019, arXiv 1901.00711",
    )
    yield DatasetPlugin(
        id="cub200-2011",
        target=f"{__name__}.cub200_2011:Cub200",
        summary="11,788 photos of 200 kinds of birds.",
        licence="non-commercial research; the photos belong to their photographers",
        attribution="Wah, Branson, Welinder, Perona, Belongie, Caltech CNS-TR-2011-001",
        reference="Wah, Branson, Welinder, Perona, Belongie, Caltech CNS-TR-2011-001",
    )
    yield DatasetPlugin(
        id="cars196",
        target=f"{__name__}.cars196:Cars196",
        summary="16,185 photos of 196 models of cars.",
        licence="non-commercial research, as ImageNet",
        attribution="Krause, Stark, Deng, Fei-Fei, 3dRR 2013",
        reference="Krause, Stark, Deng, Fei-Fei, 3dRR 2013",
    )
    yield DatasetPlugin(
        id="sop",
        target=f"{__name__}.sop:OnlineProducts",
        summary="120,053 photos of 22,634 products for sale (Stanford Online Products).",
        licence="academic use; the photos are from an auction site, no licence is stated",
        attribution="Song, Xiang, Jegelka, Savarese, CVPR 2016",
        reference="Song, Xiang, Jegelka, Savarese, CVPR 2016, arXiv 1511.06452",
    )
    yield DatasetPlugin(
        id="in-shop",
        target=f"{__name__}.in_shop:InShop",
        summary="52,712 photos of 7,982 pieces of clothing (DeepFashion In-Shop).",
        licence="non-commercial research",
        attribution="Liu, Luo, Qiu, Wang, Tang, CVPR 2016",
        reference="Liu, Luo, Qiu, Wang, Tang, CVPR 2016",
    )
    yield DatasetPlugin(
        id="lfw",
        target=f"{__name__}.lfw:LabeledFaces",
        summary="13,233 photos of 5,749 people (Labeled Faces in the Wild), and pairs of them.",
        licence="research; press photos, collected without the consent of the people on them",
        attribution="Huang, Ramesh, Berg, Learned-Miller, University of Massachusetts TR 07-49",
        reference="Huang, Ramesh, Berg, Learned-Miller, University of Massachusetts TR 07-49",
    )
    yield DatasetPlugin(
        id="ferplus",
        target=f"{__name__}.ferplus:FerPlus",
        summary="31,412 faces in eight expressions, as most of ten people named them (FER+).",
        licence="MIT (labels); the faces under the rules of a Kaggle competition",
        attribution="Barsoum, Zhang, Canton Ferrer, Zhang, ICMI 2016; Goodfellow et al., ICONIP 2013",
        reference="Barsoum, Zhang, Canton Ferrer, Zhang, ICMI 2016, arXiv 1608.01041",
    )
    yield DatasetPlugin(
        id="affectnet",
        target=f"{__name__}.affectnet:AffectNet",
        summary="291,651 faces from the web in eight expressions (AffectNet).",
        licence="research under a signed agreement; no redistribution",
        attribution="Mollahosseini, Hasani, Mahoor, IEEE Transactions on Affective Computing 2017",
        reference="Mollahosseini, Hasani, Mahoor, IEEE Transactions on Affective Computing 2017",
    )
    yield DatasetPlugin(
        id="ck-plus",
        target=f"{__name__}.ck_plus:CkPlus",
        summary="The peaks of 327 sequences in seven expressions, of 123 people (CK+).",
        licence="non-commercial research, on request",
        attribution="Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews, CVPR Workshops 2010",
        reference="Lucey, Cohn, Kanade, Saragih, Ambadar, Matthews, CVPR Workshops 2010",
    )
    yield DatasetPlugin(
        id="bu-3dfe",
        target=f"{__name__}.bu_3dfe:Bu3dfe",
        summary="2,500 textures of faces of 100 people, seven expressions in four intensities (BU-3DFE).",
        licence="a licence agreement with Binghamton University",
        attribution="Yin, Wei, Sun, Wang, Rosato, Automatic Face and Gesture Recognition 2006",
        reference="Yin, Wei, Sun, Wang, Rosato, Automatic Face and Gesture Recognition 2006",
    )
    yield DatasetPlugin(
        id="jaffe",
        target=f"{__name__}.jaffe:Jaffe",
        summary="213 faces of ten women in seven expressions (JAFFE).",
        licence="non-commercial research, on request",
        attribution="Lyons, Akamatsu, Kamachi, Gyoba, Automatic Face and Gesture Recognition 1998",
        reference="Lyons, Akamatsu, Kamachi, Gyoba, Automatic Face and Gesture Recognition 1998",
    )
    yield DatasetPlugin(
        id="uc-merced",
        target=f"{__name__}.uc_merced:UcMerced",
        summary="2,100 aerial pictures of 21 kinds of land.",
        licence="public domain (USGS)",
        attribution="Yang, Newsam, SIGSPATIAL 2010; pictures by the United States Geological Survey",
        reference="Yang, Newsam, SIGSPATIAL 2010",
    )
    yield DatasetPlugin(
        id="sketchy",
        target=f"{__name__}.sketchy:Sketchy",
        summary="85,502 photos and 75,481 sketches of 125 classes (Sketchy, extended).",
        licence="research; the photos are ImageNet's",
        attribution="Sangkloy, Burnell, Ham, Hays, SIGGRAPH 2016; Liu, Shen, Shen, Liu, Shao, CVPR 2017",
        reference="Sangkloy, Burnell, Ham, Hays, SIGGRAPH 2016",
    )
    yield DatasetPlugin(
        id="tu-berlin",
        target=f"{__name__}.tu_berlin:TuBerlin",
        summary="20,000 sketches of 250 classes and about 204,000 photos (TU-Berlin, extended).",
        licence="CC BY 4.0 (sketches); research, none stated (photos)",
        attribution="Eitz, Hays, Alexa, SIGGRAPH 2012; Zhang, Liu, Zhang, Ren, Wang, Cao, CVPR 2016",
        reference="Eitz, Hays, Alexa, SIGGRAPH 2012",
    )
    yield DatasetPlugin(
        id="fruits360",
        target=f"{__name__}.fruits360:Fruits360",
        summary="65 varieties of apples, cherries and tomatoes on a turntable (Fruits-360, 3-body problem).",
        licence="CC BY-SA 4.0",
        attribution="Mihai Oltean, Fruits-360 dataset, 2017-",
        reference="Mihai Oltean, Fruits-360 dataset, 2017-",
    )
    yield DatasetPlugin(
        id="quickdraw",
        target=f"{__name__}.quickdraw:QuickDraw",
        summary="Sketches of 345 words, drawn in twenty seconds.",
        licence="CC BY 4.0",
        attribution="Quick, Draw! data by Google",
        reference="Ha, Eck, ICLR 2018, arXiv 1704.03477",
    )
    yield DatasetPlugin(
        id="quickdraw-emoji",
        target=f"{__name__}.quickdraw_emoji:QuickDrawEmoji",
        extra="emoji",
        summary="Sketches of 224 words, and colour emoji of these and of other things.",
        licence="CC BY 4.0 (sketches); CC-BY 4.0 (Twemoji), CC BY-SA 4.0 (OpenMoji)",
        attribution="Quick, Draw! data by Google; Twemoji by Twitter and others; OpenMoji, openmoji.org",
        reference="Ha, Eck, ICLR 2018, arXiv 1704.03477",
    )
    yield DatasetPlugin(
        id="fashion-mnist",
        target=f"{__name__}.fashion_mnist:FashionMnist",
        summary="70,000 grey pictures of ten kinds of clothes, shoes and bags.",
        licence="MIT",
        attribution="Xiao, Rasul, Vollgraf, 2017; Zalando SE",
        reference="Xiao, Rasul, Vollgraf, 2017, arXiv 1708.07747",
    )
