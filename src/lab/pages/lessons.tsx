export function Lessons() {
  return <h1>Lessons</h1>;
}
