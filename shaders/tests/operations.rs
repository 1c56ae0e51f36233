//! Counts the operations of each kernel in its WGSL, as naga parses it, and compares them with the constants.

use std::collections::HashMap;

use adit_shaders::{GpuKernel, Operations};
use naga::{BinaryOperator, Block, Expression, Function, Handle, Literal, Module, Statement};

#[test]
fn the_shaders_cost_what_is_written_down() {
    for kernel in GpuKernel::ALL {
        let module = naga::front::wgsl::parse_str(kernel.source()).unwrap();
        let mut counter = Counter { module: &module, variables: Vec::new(), operations: Operations::default() };
        let scan = &module.entry_points[0].function;
        let mut frame = Frame::new(scan, Vec::new());
        counter.open(&mut frame);
        // A hash is the loop's body where there is a loop; else everything.
        let hash = scan.body.iter().find_map(|statement| match statement {
            Statement::Loop { body, .. } => Some(body),
            _ => None,
        });
        if let Some(hash) = hash {
            counter.run_until_loop(&mut frame, &scan.body);
            counter.operations = Operations::default();
            // What the first time round is constant is not so the second time.
            counter.variables.fill(Value::Unknown);
            counter.run(&mut frame, hash);
        } else {
            counter.run(&mut frame, &scan.body);
        }
        let mut operations = counter.operations;
        assert_eq!(operations.xors % 2, 0, "{}: every exclusive or is one of two in a sigma", kernel.name());
        operations.xors /= 2;
        assert_eq!(operations, kernel.operations(), "{}", kernel.name());
    }
}

#[test]
fn the_pruned_kernel_costs_what_the_best_opencl_kernels_cost() {
    let pruned = GpuKernel::Pruned.operations();
    let seen = [pruned.rotates, pruned.shifts, pruned.xors, pruned.selections, pruned.additions];
    // What the best OpenCL kernels reach, each "about"; two of the additions here number the nonces.
    for (seen, best) in seen.into_iter().zip([1_020, 156, 390, 235, 1_040]) {
        assert!(seen * 100 <= best * 101, "{seen} are over one per cent more than {best}: {pruned:?}");
    }
}

/// What is known of an expression while a shader is walked.
#[derive(Clone, Debug)]
enum Value {
    Known(u32),
    Unknown,
    /// A struct.
    Parts(Vec<Value>),
    /// A pointer to a local variable, by its place in [`Counter::variables`].
    Pointer(usize),
}

impl Value {
    fn part(&self, index: u32) -> Value {
        match self {
            Value::Parts(parts) => parts[index as usize].clone(),
            _ => Value::Unknown,
        }
    }
}

/// A function that is being walked.
struct Frame<'a> {
    function: &'a Function,
    arguments: Vec<Value>,
    values: HashMap<Handle<Expression>, Value>,
    /// Places of the function's variables.
    locals: HashMap<Handle<naga::LocalVariable>, usize>,
}

impl<'a> Frame<'a> {
    fn new(function: &'a Function, arguments: Vec<Value>) -> Self {
        Self { function, arguments, values: HashMap::new(), locals: HashMap::new() }
    }
}

/// Walks shaders with all calls followed and all constants computed, and counts what is left.
struct Counter<'a> {
    module: &'a Module,
    variables: Vec<Value>,
    operations: Operations,
}

impl<'a> Counter<'a> {
    /// Makes a function's variables.
    fn open(&mut self, frame: &mut Frame<'a>) {
        for (handle, variable) in frame.function.local_variables.iter() {
            let value = variable.init.map_or(Value::Unknown, |init| self.value(frame, init));
            frame.locals.insert(handle, self.variables.len());
            self.variables.push(value);
        }
    }

    fn call(&mut self, function: Handle<Function>, arguments: Vec<Value>) -> Value {
        let function = &self.module.functions[function];
        let all_known = arguments.iter().all(|argument| matches!(argument, Value::Known(_)));
        let counted = match function.name.as_deref() {
            _ if all_known => None,
            Some("rotr") => Some(&mut self.operations.rotates),
            Some("choose" | "majority") => Some(&mut self.operations.selections),
            Some("byte_swap") => Some(&mut self.operations.others),
            _ => None,
        };
        if let Some(counted) = counted {
            *counted += 1;
            return Value::Unknown;
        }
        let mut frame = Frame::new(function, arguments);
        self.open(&mut frame);
        self.run(&mut frame, &function.body).unwrap_or(Value::Unknown)
    }

    fn run_until_loop(&mut self, frame: &mut Frame<'a>, block: &'a Block) {
        for statement in block.iter().take_while(|statement| !matches!(statement, Statement::Loop { .. })) {
            self.step(frame, statement);
        }
    }

    /// The value that the block returns, if it returns one.
    fn run(&mut self, frame: &mut Frame<'a>, block: &'a Block) -> Option<Value> {
        block.iter().find_map(|statement| self.step(frame, statement))
    }

    fn step(&mut self, frame: &mut Frame<'a>, statement: &'a Statement) -> Option<Value> {
        match statement {
            Statement::Emit(range) => {
                for handle in range.clone() {
                    let value = self.compute(frame, handle);
                    frame.values.insert(handle, value);
                }
            }
            Statement::Block(block) => return self.run(frame, block),
            // What is behind a condition is not done for every hash: the end of a range, a hit, the loop's end.
            Statement::If { .. } => {}
            Statement::Store { pointer, value } => {
                let value = self.value(frame, *value);
                if let Value::Pointer(place) = self.value(frame, *pointer) {
                    self.variables[place] = value;
                }
            }
            Statement::Call { function, arguments, result } => {
                let arguments = arguments.iter().map(|&argument| self.value(frame, argument)).collect();
                let value = self.call(*function, arguments);
                if let Some(result) = result {
                    frame.values.insert(*result, value);
                }
            }
            Statement::Return { value } => return value.map(|value| self.value(frame, value)),
            other => panic!("a statement that is not counted: {other:?}"),
        }
        None
    }

    /// An expression that was computed before, or that needs no computation.
    fn value(&mut self, frame: &Frame<'a>, handle: Handle<Expression>) -> Value {
        if let Some(value) = frame.values.get(&handle) {
            return value.clone();
        }
        match &frame.function.expressions[handle] {
            Expression::Literal(literal) => known(literal),
            Expression::Constant(constant) => {
                match &self.module.global_expressions[self.module.constants[*constant].init] {
                    Expression::Literal(literal) => known(literal),
                    other => panic!("a constant that is no literal: {other:?}"),
                }
            }
            Expression::FunctionArgument(index) => {
                frame.arguments.get(*index as usize).cloned().unwrap_or(Value::Unknown)
            }
            Expression::LocalVariable(variable) => Value::Pointer(frame.locals[variable]),
            Expression::GlobalVariable(_) | Expression::Override(_) => Value::Unknown,
            other => panic!("an expression that was not computed: {other:?}"),
        }
    }

    /// Computes an expression, and counts it unless its value is known.
    fn compute(&mut self, frame: &Frame<'a>, handle: Handle<Expression>) -> Value {
        match &frame.function.expressions[handle] {
            Expression::Load { pointer } => match self.value(frame, *pointer) {
                Value::Pointer(place) => self.variables[place].clone(),
                _ => Value::Unknown,
            },
            Expression::AccessIndex { base, index } => self.value(frame, *base).part(*index),
            Expression::Compose { components, .. } => {
                Value::Parts(components.iter().map(|&component| self.value(frame, component)).collect())
            }
            Expression::Binary { op, left, right } => {
                let (left, right) = (self.value(frame, *left), self.value(frame, *right));
                self.binary(*op, &left, &right)
            }
            Expression::As { .. } | Expression::Math { .. } | Expression::Select { .. } => {
                self.operations.others += 1;
                Value::Unknown
            }
            _ => self.value(frame, handle),
        }
    }

    fn binary(&mut self, op: BinaryOperator, left: &Value, right: &Value) -> Value {
        use BinaryOperator as Op;
        if let (Value::Known(left), Value::Known(right)) = (left, right) {
            return Value::Known(match op {
                Op::Add => left.wrapping_add(*right),
                Op::Subtract => left.wrapping_sub(*right),
                Op::And => left & right,
                Op::ExclusiveOr => left ^ right,
                Op::InclusiveOr => left | right,
                Op::ShiftLeft => left << right,
                Op::ShiftRight => left >> right,
                other => panic!("{other:?} of constants"),
            });
        }
        match (op, left, right) {
            (Op::Add, Value::Known(0), other) | (Op::Add, other, Value::Known(0)) => return other.clone(),
            (Op::Add, ..) => self.operations.additions += 1,
            (Op::ShiftRight, ..) => self.operations.shifts += 1,
            // In the sigmas alone, two in each.
            (Op::ExclusiveOr, ..) => self.operations.xors += 1,
            _ => self.operations.others += 1,
        }
        Value::Unknown
    }
}

fn known(literal: &Literal) -> Value {
    match literal {
        Literal::U32(number) => Value::Known(*number),
        other => panic!("a literal that is no u32: {other:?}"),
    }
}
