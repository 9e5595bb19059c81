/** A style sheet, as text (esbuild's loader "text"). */
declare module "*.css" {
  const text: string;
  export default text;
}
