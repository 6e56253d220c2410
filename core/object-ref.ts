/** An object in the store. Anything over 64 KiB travels between activities as one of these. */
export type ObjectRef = {
  readonly bucket: string;
  readonly key: string;
  /** Lower-case hex SHA-256 of the stored bytes. */
  readonly sha256: string;
  readonly bytes: number;
};
