"""The operations of a SavedModel that may run without `trust`: computations on tensors, variables and lookup tables.

All others are missing: files (ReadFile, WriteFile, MatchingFiles, readers, tf.data, summaries, checkpoints,
vocabularies in attributes), Python (PyFunc), processes and networks (Send, Recv, RpcCall, collectives, TPU), printing
(PrintV2 writes files too), debugging, XLA's custom calls, and operations that TensorFlow does not have.
"""

_GROUPS = {
    "Constants, arguments and shapes": """
        Assert, Bitcast, BroadcastArgs, BroadcastGradientArgs, BroadcastTo, Cast, CheckNumerics,
        CheckNumericsV2, Const, ControlTrigger, DeepCopy, Empty, EnsureShape, ExpandDims, FakeParam, Fill,
        GuaranteeConst, Identity, IdentityN, LinSpace, NoOp, OnesLike, Placeholder, PlaceholderWithDefault,
        PreventGradient, Range, Rank, Reshape, Shape, ShapeN, Size, Snapshot, Squeeze, StopGradient, ZerosLike
    """,
    "Control flow; the functions that they call are checked too": """
        Case, DeviceIndex, Enter, Exit, For, If, LoopCond, MapDefun, Merge, NextIteration, PartitionedCall,
        RefMerge, RefSwitch, StatefulPartitionedCall, StatelessCase, StatelessIf, StatelessWhile, Switch, While
    """,
    "Arrays": """
        ApproxTopK, BatchToSpace, BatchToSpaceND, Bucketize, Concat, ConcatOffset, ConcatV2, ConjugateTranspose,
        DataFormatDimMap, DataFormatVecPermute, DepthToSpace, Diag, DiagPart, DynamicPartition, DynamicStitch,
        EditDistance, ExtractImagePatches, ExtractVolumePatches, Gather, GatherNd, GatherV2, InTopK, InTopKV2,
        InplaceAdd, InplaceSub, InplaceUpdate, InvertPermutation, ListDiff, LowerBound, MatrixBandPart,
        MatrixDiag, MatrixDiagPart, MatrixDiagPartV2, MatrixDiagPartV3, MatrixDiagV2, MatrixDiagV3,
        MatrixSetDiag, MatrixSetDiagV2, MatrixSetDiagV3, MirrorPad, NthElement, OneHot, Pack, Pad, PadV2,
        ParallelConcat, ParallelDynamicStitch, Reverse, ReverseSequence, ReverseV2, Roll, ScatterNd,
        ScatterNdNonAliasingAdd, Select, SelectV2, Slice, SpaceToBatch, SpaceToBatchND, SpaceToDepth, Split,
        SplitV, Stack, StridedSlice, StridedSliceGrad, TensorScatterAdd, TensorScatterMax, TensorScatterMin,
        TensorScatterSub, TensorScatterUpdate, TensorStridedSliceUpdate, Tile, TopK, TopKV2, Transpose, Unique,
        UniqueV2, UniqueWithCounts, UniqueWithCountsV2, Unpack, UnravelIndex, UpperBound, Where
    """,
    "Arithmetic": """
        Abs, AccumulateNV2, Acos, Acosh, Add, AddN, AddV2, Angle, ApproximateEqual, Asin, Asinh, Atan, Atan2,
        Atanh, BesselI0, BesselI0e, BesselI1, BesselI1e, BesselJ0, BesselJ1, BesselK0, BesselK0e, BesselK1,
        BesselK1e, BesselY0, BesselY1, Betainc, BitwiseAnd, BitwiseOr, BitwiseXor, Ceil, ClipByValue, Complex,
        ComplexAbs, Conj, Cos, Cosh, Cross, Cumprod, Cumsum, CumulativeLogsumexp, Dawsn, Digamma, Div, DivNoNan,
        Equal, Erf, Erfc, Erfinv, Exp, Expint, Expm1, Floor, FloorDiv, FloorMod, FresnelCos, FresnelSin,
        Greater, GreaterEqual, Igamma, Igammac, Imag, Inv, Invert, IsFinite, IsInf, IsNan, LeftShift, Less,
        LessEqual, Lgamma, Log, Log1p, LogicalAnd, LogicalNot, LogicalOr, Maximum, Minimum, Mod, Mul, MulNoNan,
        Ndtri, Neg, NextAfter, NotEqual, Polygamma, PopulationCount, Pow, Real, RealDiv, Reciprocal, RightShift,
        Rint, Round, Rsqrt, Sign, Sin, Sinh, Spence, Sqrt, Square, SquaredDifference, Sub, Tan, Tanh, ToBool,
        TruncateDiv, TruncateMod, Xdivy, Xlog1py, Xlogy, Zeta
    """,
    "Reductions and segments": """
        All, Any, ArgMax, ArgMin, Bincount, DenseBincount, EuclideanNorm, HistogramFixedWidth, Max, Mean, Min,
        Prod, SegmentMax, SegmentMaxV2, SegmentMean, SegmentMin, SegmentMinV2, SegmentProd, SegmentProdV2,
        SegmentSum, SegmentSumV2, Sum, UnsortedSegmentJoin, UnsortedSegmentMax, UnsortedSegmentMin,
        UnsortedSegmentProd, UnsortedSegmentSum
    """,
    "Linear algebra and Fourier transforms": """
        BandedTriangularSolve, BatchMatMul, BatchMatMulV2, BatchMatMulV3, Cholesky, Eig, Einsum, FFT, FFT2D,
        FFT3D, FFTND, IFFT, IFFT2D, IFFT3D, IFFTND, IRFFT, IRFFT2D, IRFFT3D, IRFFTND, LogMatrixDeterminant, Lu,
        MatMul, MatrixDeterminant, MatrixExponential, MatrixInverse, MatrixLogarithm, MatrixSolve,
        MatrixSolveLs, MatrixSquareRoot, MatrixTriangularSolve, Qr, RFFT, RFFT2D, RFFT3D, RFFTND,
        SelfAdjointEig, SelfAdjointEigV2, Svd, TridiagonalMatMul, TridiagonalSolve
    """,
    "Neural networks": """
        AvgPool, AvgPool3D, BatchNormWithGlobalNormalization, BiasAdd, BiasAddV1, BlockLSTM, BlockLSTMV2,
        CTCBeamSearchDecoder, CTCGreedyDecoder, CTCLoss, CTCLossV2, Conv, Conv2D, Conv2DBackpropInput,
        Conv2DBackpropInputV2, Conv3D, Conv3DBackpropInput, Conv3DBackpropInputV2, CudnnRNN, CudnnRNNV2,
        CudnnRNNV3, DepthwiseConv2dNative, DepthwiseConv2dNativeBackpropInput, Dequantize, Dilation2D, Elu,
        FakeQuantWithMinMaxArgs, FakeQuantWithMinMaxVars, FakeQuantWithMinMaxVarsPerChannel, FractionalAvgPool,
        FractionalMaxPool, FusedBatchNorm, FusedBatchNormV2, FusedBatchNormV3, FusedPadConv2D,
        FusedResizeAndPadConv2D, GRUBlockCell, IsotonicRegression, L2Loss, LRN, LSTMBlockCell, LeakyRelu,
        LogSoftmax, MaxPool, MaxPool3D, MaxPoolV2, MaxPoolWithArgmax, QuantizeAndDequantize,
        QuantizeAndDequantizeV2, QuantizeAndDequantizeV3, QuantizeAndDequantizeV4, QuantizeV2, Relu, Relu6,
        Selu, Sigmoid, Softmax, SoftmaxCrossEntropyWithLogits, Softplus, Softsign,
        SparseSoftmaxCrossEntropyWithLogits
    """,
    "Gradients, for models that compute them": """
        AvgPool3DGrad, AvgPoolGrad, BiasAddGrad, Conv2DBackpropFilter, Conv3DBackpropFilter,
        Conv3DBackpropFilterV2, DepthwiseConv2dNativeBackpropFilter, EluGrad, FusedBatchNormGrad,
        FusedBatchNormGradV2, FusedBatchNormGradV3, InvGrad, LRNGrad, LeakyReluGrad, MaxPool3DGrad, MaxPoolGrad,
        MaxPoolGradV2, MirrorPadGrad, ReciprocalGrad, Relu6Grad, ReluGrad, ResizeBicubicGrad,
        ResizeBilinearGrad, ResizeNearestNeighborGrad, RsqrtGrad, SeluGrad, SigmoidGrad, SoftplusGrad,
        SoftsignGrad, SqrtGrad, TanhGrad
    """,
    "Images and sound": """
        AdjustContrast, AdjustContrastv2, AdjustHue, AdjustSaturation, AudioSpectrogram,
        CombinedNonMaxSuppression, CropAndResize, DecodeAndCropJpeg, DecodeBmp, DecodeGif, DecodeImage,
        DecodeJpeg, DecodeJxl, DecodePng, DecodeWav, DecodeWebP, DrawBoundingBoxes, DrawBoundingBoxesV2,
        EncodeJpeg, EncodeJpegVariableQuality, EncodePng, EncodeWav, ExtractGlimpse, ExtractGlimpseV2,
        ExtractJpegShape, HSVToRGB, ImageProjectiveTransformV2, ImageProjectiveTransformV3, Mfcc,
        NonMaxSuppression, NonMaxSuppressionV2, NonMaxSuppressionV3, NonMaxSuppressionV4, NonMaxSuppressionV5,
        NonMaxSuppressionWithOverlaps, RGBToHSV, RandomCrop, ResizeArea, ResizeBicubic, ResizeBilinear,
        ResizeNearestNeighbor, SampleDistortedBoundingBox, SampleDistortedBoundingBoxV2, ScaleAndTranslate,
        StatelessSampleDistortedBoundingBox
    """,
    "Text and parsing": """
        AsString, DecodeBase64, DecodeCSV, DecodePaddedRaw, DecodeRaw, EncodeBase64, Fingerprint, ParseExample,
        ParseExampleV2, ParseSequenceExample, ParseSequenceExampleV2, ParseSingleExample,
        ParseSingleSequenceExample, ParseTensor, ReduceJoin, RegexFullMatch, RegexReplace, SerializeTensor,
        StaticRegexFullMatch, StaticRegexReplace, StringFormat, StringJoin, StringLength, StringLower,
        StringNGrams, StringSplit, StringSplitV2, StringStrip, StringToHashBucket, StringToHashBucketFast,
        StringToHashBucketStrong, StringToNumber, StringUpper, Substr, UnicodeDecode, UnicodeDecodeWithOffsets,
        UnicodeEncode, UnicodeScript, UnicodeTranscode
    """,
    "Random numbers": """
        Multinomial, NonDeterministicInts, ParameterizedTruncatedNormal, RandomGamma, RandomIndexShuffle,
        RandomPoisson, RandomPoissonV2, RandomShuffle, RandomStandardNormal, RandomUniform, RandomUniformInt,
        RngReadAndSkip, RngSkip, StatefulRandomBinomial, StatefulStandardNormal, StatefulStandardNormalV2,
        StatefulTruncatedNormal, StatefulUniform, StatefulUniformFullInt, StatefulUniformInt,
        StatelessMultinomial, StatelessParameterizedTruncatedNormal, StatelessRandomBinomial,
        StatelessRandomGammaV2, StatelessRandomGammaV3, StatelessRandomGetAlg, StatelessRandomGetKeyCounter,
        StatelessRandomGetKeyCounterAlg, StatelessRandomNormal, StatelessRandomNormalV2, StatelessRandomPoisson,
        StatelessRandomUniform, StatelessRandomUniformFullInt, StatelessRandomUniformFullIntV2,
        StatelessRandomUniformInt, StatelessRandomUniformIntV2, StatelessRandomUniformV2, StatelessShuffle,
        StatelessTruncatedNormal, StatelessTruncatedNormalV2, TruncatedNormal
    """,
    "Lists, ragged and sparse tensors": """
        DenseCountSparseOutput, DenseToDenseSetOperation, DenseToSparseSetOperation, EmptyTensorList,
        EmptyTensorMap, RaggedBincount, RaggedCountSparseOutput, RaggedCross, RaggedFillEmptyRows, RaggedGather,
        RaggedRange, RaggedTensorFromVariant, RaggedTensorToSparse, RaggedTensorToTensor, RaggedTensorToVariant,
        SetSize, SparseAdd, SparseBincount, SparseConcat, SparseCountSparseOutput, SparseCross,
        SparseCrossHashed, SparseCrossV2, SparseDenseCwiseAdd, SparseDenseCwiseDiv, SparseDenseCwiseMul,
        SparseFillEmptyRows, SparseMatMul, SparseReduceMax, SparseReduceMaxSparse, SparseReduceSum,
        SparseReduceSumSparse, SparseReorder, SparseReshape, SparseSegmentMean,
        SparseSegmentMeanWithNumSegments, SparseSegmentSqrtN, SparseSegmentSqrtNWithNumSegments,
        SparseSegmentSum, SparseSegmentSumWithNumSegments, SparseSlice, SparseSoftmax, SparseSparseMaximum,
        SparseSparseMinimum, SparseSplit, SparseTensorDenseAdd, SparseTensorDenseMatMul, SparseToDense,
        SparseToSparseSetOperation, TensorArrayCloseV3, TensorArrayConcatV3, TensorArrayGatherV3,
        TensorArrayReadV3, TensorArrayScatterV3, TensorArraySizeV3, TensorArraySplitV3, TensorArrayV3,
        TensorArrayWriteV3, TensorListConcat, TensorListConcatLists, TensorListConcatV2, TensorListElementShape,
        TensorListFromTensor, TensorListGather, TensorListGetItem, TensorListLength, TensorListPopBack,
        TensorListPushBack, TensorListPushBackBatch, TensorListReserve, TensorListResize, TensorListScatter,
        TensorListScatterIntoExistingList, TensorListScatterV2, TensorListSetItem, TensorListSplit,
        TensorListStack, TensorMapErase, TensorMapHasKey, TensorMapInsert, TensorMapLookup, TensorMapSize,
        TensorMapStackKeys
    """,
    "Variables and lookup tables": """
        AnonymousHashTable, AnonymousMutableDenseHashTable, AnonymousMutableHashTable,
        AnonymousMutableHashTableOfTensors, AssignAddVariableOp, AssignSubVariableOp, AssignVariableOp,
        DestroyResourceOp, DisableCopyOnRead, HashTable, HashTableV2, InitializeTable, InitializeTableV2,
        IsVariableInitialized, LookupTableExport, LookupTableExportV2, LookupTableFind, LookupTableFindV2,
        LookupTableImport, LookupTableImportV2, LookupTableInsert, LookupTableInsertV2, LookupTableRemoveV2,
        LookupTableSize, LookupTableSizeV2, MutableDenseHashTable, MutableDenseHashTableV2, MutableHashTable,
        MutableHashTableOfTensors, MutableHashTableOfTensorsV2, MutableHashTableV2, ReadVariableOp,
        ResourceGather, ResourceGatherNd, ResourceScatterAdd, ResourceScatterDiv, ResourceScatterMax,
        ResourceScatterMin, ResourceScatterMul, ResourceScatterNdAdd, ResourceScatterNdMax,
        ResourceScatterNdMin, ResourceScatterNdSub, ResourceScatterNdUpdate, ResourceScatterSub,
        ResourceScatterUpdate, ResourceStridedSliceAssign, VarHandleOp, VarIsInitializedOp, VariableShape
    """,
}
ALLOWED = frozenset(name for names in _GROUPS.values() for name in names.replace(",", " ").split())
