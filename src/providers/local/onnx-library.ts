// What is used of `@huggingface/transformers` 4, which is not installed with this program. Source: its own documentation, version 4.3.

export interface TransformersLibrary {
  readonly env: {
    allowRemoteModels: boolean;
    allowLocalModels: boolean;
    localModelPath: string;
    useFSCache: boolean;
    cacheDir: string | null;
  };
  readonly AutoTokenizer: { from_pretrained(path: string): Promise<Tokenizer> };
  readonly AutoModel: ModelKind;
  readonly AutoModelForSequenceClassification: ModelKind;
}

interface ModelKind {
  from_pretrained(
    path: string,
    options: {
      readonly dtype: string;
      readonly device: string;
      readonly session_options: { readonly intraOpNumThreads: number; readonly interOpNumThreads: number };
    },
  ): Promise<TextModel>;
}

export interface TensorLike {
  readonly dims: readonly number[];
  readonly data: ArrayLike<number | bigint>;
}

export interface Tokenizer {
  (
    texts: readonly string[],
    options: { readonly text_pair?: readonly string[]; readonly padding: true; readonly truncation: true; readonly max_length: number },
  ): Readonly<Record<string, TensorLike>>;
  /** With the marks that the model puts around a text. */
  encode(text: string, options: { readonly text_pair?: string }): readonly number[];
  readonly model_max_length?: number;
}

export interface TextModel {
  (inputs: Readonly<Record<string, TensorLike>>): Promise<Readonly<Record<string, TensorLike>>>;
  readonly config: {
    readonly id2label?: Readonly<Record<string, string>>;
    readonly problem_type?: string;
    readonly max_position_embeddings?: number;
  };
}
